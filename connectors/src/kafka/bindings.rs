//! Reads the log of bindings without taking part in it: no claim is put in, nothing is appended.

use std::time::Duration;

use rdkafka::Offset;

use super::binding_log::BindingLogError;
use super::client::KafkaOptions;
use super::reader::{Entry, TopicReader};
use crate::binding::Binding;
use crate::binding::chain::{Chain, Reading};

/// The bindings from the first on, those that count.
pub struct Bindings {
    reader: TopicReader,
    chain: Chain,
    ended: bool,
}

impl Bindings {
    /// Begins at the first.
    ///
    /// # Errors
    /// Kafka refuses.
    pub fn open(options: &KafkaOptions) -> Result<Bindings, BindingLogError> {
        let reader = TopicReader::open(options, &options.topics.bindings, Offset::Beginning)?;
        Ok(Bindings { reader, chain: Chain::default(), ended: false })
    }

    /// The next binding; none at the end of the log.
    ///
    /// # Errors
    /// A damaged log; Kafka refuses.
    pub fn next_binding(&mut self) -> Result<Option<Binding>, BindingLogError> {
        while !self.ended {
            match self.reader.poll(Duration::from_secs(1))? {
                None => {}
                Some(Entry::End) => self.ended = true,
                Some(Entry::Record(bytes)) => {
                    if let Reading::Binding(binding) = self.chain.read(&bytes)? {
                        return Ok(Some(binding));
                    }
                }
            }
        }
        Ok(None)
    }
}
