//! What is out already: the rows of the computed views, as `cebe.out.*` hold them.

use cebe_schemas::row::{Row, RowError};
use cebe_schemas::time::{Millis, format_rfc3339};
use cebe_schemas::topic::MONTH_MS;
use cebe_schemas::view::{OUT_PARTITIONS, View};

use super::numbered::key;
use crate::kafka::client::{ClientError, KafkaOptions};
use crate::kafka::partitions::{Found, PartitionsReader};
use crate::snapshot::{Published, PublishedOne};

/// It cannot be told what is out.
#[derive(Debug, thiserror::Error)]
pub enum OutputsError {
    /// Kafka refuses.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// A record that this version cannot read.
    #[error("{topic}/{partition} at {offset}: {error}")]
    Unreadable {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// The offset.
        offset: i64,
        /// What is wrong with it.
        #[source]
        error: RowError,
    },
    /// Retention has deleted what would have to be read.
    #[error(
        "{topic}/{partition} begins with {}, and what was published since {} is needed: run the version \
         of cebe that wrote it until it has written a snapshot", format_rfc3339(*begins_ms),
        format_rfc3339(*after_ms)
    )]
    Gone {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// The logical time of its first record.
        begins_ms: Millis,
        /// Everything after this logical time is needed.
        after_ms: Millis,
    },
}

/// The rows of the computed views with a logical time after `after_ms` and through `through_ms`; those of
/// one key are in order. `now_ms` tells what retention may have deleted.
///
/// # Errors
/// [`OutputsError`].
pub fn read(
    options: &KafkaOptions,
    after_ms: Millis,
    through_ms: Millis,
    now_ms: Millis,
) -> Result<Published, OutputsError> {
    let mut published = Published::default();
    let mut reader = PartitionsReader::open(options)?;
    for view in View::COMPUTED {
        let of = Of { view, topic: options.topics.out(view) };
        for partition in 0..OUT_PARTITIONS as i32 {
            of.check(&mut reader, partition, after_ms, now_ms)?;
        }
        let places = reader.offsets_since(&of.topic, OUT_PARTITIONS, after_ms + 1)?;
        reader.begin(&of.topic, &places)?;
        while let Some(found) = reader.next()? {
            let one = of.row(found)?;
            if after_ms < one.t_ms && one.t_ms <= through_ms {
                published.push(one);
            }
        }
    }
    Ok(published)
}

/// A view and its topic.
struct Of {
    view: View,
    topic: String,
}

impl Of {
    /// That nothing after `after_ms` is deleted. Records are in order of their logical time.
    fn check(
        &self,
        reader: &mut PartitionsReader,
        partition: i32,
        after_ms: Millis,
        now_ms: Millis,
    ) -> Result<(), OutputsError> {
        let start = reader.first_offset(&self.topic, partition)?;
        if start == 0 {
            return Ok(());
        }
        reader.begin(&self.topic, &[(partition, start)])?;
        // A partition without records has been silent for as long as they are kept.
        let begins_ms = match reader.next()? {
            Some(found) => self.row(found)?.t_ms,
            None => now_ms - MONTH_MS,
        };
        if begins_ms <= after_ms {
            return Ok(());
        }
        let topic = self.topic.clone();
        Err(OutputsError::Gone { topic, partition, begins_ms, after_ms })
    }

    fn row(&self, found: Found) -> Result<PublishedOne, OutputsError> {
        let Found { partition, offset, value } = found;
        let row = Row::read(self.view, &value).map_err(|error| {
            let topic = self.topic.clone();
            OutputsError::Unreadable { topic, partition, offset, error }
        })?;
        let (t_ms, key, deleted) = (row.logical_time(), key(&row), row.is_deleted());
        Ok(PublishedOne { view: self.view, t_ms, key, value, deleted })
    }
}
