//! Development services: a real Kafka and a real ClickHouse without containers.
//!
//! Both are fetched once through `mvn` and `npm`, verified, kept in a cache that checkouts share,
//! and run on loopback, on free ports, with everything of theirs in one directory.
//!
//! | module | is about |
//! |---|---|
//! | [`services`] | the pair: up, down, status, and a guard for tests |
//! | [`kafka`], [`clickhouse`] | each server: start, stop, kill, status; its download and configuration |
//! | [`topics`] | which topics there are |
//! | `server` | the life of a server, whichever it is |
//! | `home` | the directory of a server and what is remembered in it |
//! | `process`, `ports` | processes that outlive their starter; free ports |
//! | `cache`, `prerequisites` | downloads laid down whole; the programs that they need |
//! | [`proxy`] | a connection that breaks on demand, for tests |
//! | [`demo`] | a believable stream, the engine, and what comes out, live |
//! | [`options`], [`progress`], [`error`] | what is asked, what is going on, what went wrong |

mod cache;
pub mod clickhouse;
pub mod demo;
pub mod error;
mod home;
pub mod kafka;
pub mod options;
mod ports;
mod prerequisites;
mod process;
pub mod progress;
pub mod proxy;
mod server;
pub mod services;
pub mod topics;

pub use error::ServicesError;
pub use options::{Detour, Options};
pub use progress::Progress;
pub use server::ServerStatus;
pub use services::{Guard, Services, Status, down, purge, status, up};
pub use topics::create_topics;
