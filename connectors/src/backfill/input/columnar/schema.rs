//! Types of Parquet columns.

use parquet::basic::{ConvertedType, LogicalType, Repetition, TimeUnit, Type as Physical};
use parquet::schema::types::Type;

/// What a row says nothing of: how values of a column are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// As the row has them.
    Plain,
    /// Instants, in nanoseconds.
    Nanos,
    /// Times of no zone, in nanoseconds.
    LocalNanos,
    /// Times of no zone.
    Local,
    /// UUIDs.
    Uuid,
}

/// How values of a column are meant.
pub(super) fn kind(column: &Type) -> Kind {
    match column.get_basic_info().logical_type_ref() {
        Some(LogicalType::Timestamp(time)) => match (&time.unit, time.is_adjusted_to_u_t_c) {
            (TimeUnit::NANOS, true) => Kind::Nanos,
            (TimeUnit::NANOS, false) => Kind::LocalNanos,
            (_, true) => Kind::Plain,
            (_, false) => Kind::Local,
        },
        Some(LogicalType::Uuid) => Kind::Uuid,
        _ => Kind::Plain,
    }
}

/// Whether values can be read at all. The reader panics at what it does not know, so it never gets
/// to see that.
pub(super) fn is_readable(column: &Type) -> bool {
    if !column.get_basic_info().has_repetition() {
        return false;
    }
    if column.is_primitive() {
        return is_readable_leaf(column.get_physical_type(), converted(column));
    }
    let fields = column.get_fields();
    let has_shape = match converted(column) {
        ConvertedType::LIST => {
            matches!(fields, [items] if is_repeated(items) && is_not_hollow(items))
        }
        ConvertedType::MAP | ConvertedType::MAP_KEY_VALUE => {
            matches!(fields, [entries] if entries.is_group()
                && is_repeated(entries)
                && matches!(entries.get_fields().len(), 1 | 2))
        }
        _ => !fields.is_empty(),
    };
    has_shape && fields.iter().all(|field| is_readable(field))
}

fn converted(column: &Type) -> ConvertedType {
    column.get_basic_info().converted_type()
}

fn is_repeated(column: &Type) -> bool {
    let info = column.get_basic_info();
    info.has_repetition() && info.repetition() == Repetition::REPEATED
}

fn is_not_hollow(column: &Type) -> bool {
    column.is_primitive() || !column.get_fields().is_empty()
}

fn is_readable_leaf(physical: Physical, converted: ConvertedType) -> bool {
    use ConvertedType as C;
    match physical {
        Physical::BOOLEAN | Physical::FLOAT | Physical::DOUBLE | Physical::INT96 => true,
        Physical::INT32 => matches!(
            converted,
            C::NONE
                | C::INT_8
                | C::INT_16
                | C::INT_32
                | C::UINT_8
                | C::UINT_16
                | C::UINT_32
                | C::DATE
                | C::TIME_MILLIS
                | C::DECIMAL
        ),
        Physical::INT64 => matches!(
            converted,
            C::NONE
                | C::INT_64
                | C::UINT_64
                | C::TIME_MICROS
                | C::TIMESTAMP_MILLIS
                | C::TIMESTAMP_MICROS
                | C::DECIMAL
        ),
        Physical::BYTE_ARRAY => {
            matches!(converted, C::NONE | C::UTF8 | C::ENUM | C::JSON | C::BSON | C::DECIMAL)
        }
        Physical::FIXED_LEN_BYTE_ARRAY => matches!(converted, C::NONE | C::DECIMAL),
    }
}
