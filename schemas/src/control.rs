//! Flags, definitions and settings: the control state as of a logical time.
