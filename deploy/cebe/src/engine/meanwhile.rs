//! Kafka is waited for without the state: inquiries are answered meanwhile.

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

/// How long an inquiry may wait for nothing.
pub const LISTEN: Duration = Duration::from_millis(2);

/// Does `work` on a thread of its own; until it is done, `serve` is called again and again.
///
/// # Errors
/// Those of `serve`, once the work is done.
pub fn meanwhile<T: Send>(
    work: impl FnOnce() -> T + Send,
    mut serve: impl FnMut() -> anyhow::Result<()>,
) -> anyhow::Result<T> {
    thread::scope(|scope| {
        let (done, outcome) = channel();
        // Whoever gave the work waits for it.
        scope.spawn(move || drop(done.send(work())));
        loop {
            match outcome.recv_timeout(LISTEN) {
                Ok(outcome) => return Ok(outcome),
                Err(RecvTimeoutError::Timeout) => serve()?,
                Err(RecvTimeoutError::Disconnected) => anyhow::bail!("a thread has panicked"),
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_is_served_until_the_work_is_done() {
        let (served, wait) = channel();
        let mut times = 0;
        let serve = || {
            times += 1;
            if times == 3 {
                served.send(())?;
            }
            Ok(())
        };
        assert!(meanwhile(move || wait.recv().is_ok(), serve).unwrap());
        assert!(times >= 3);
        assert!(meanwhile(|| 7, || anyhow::bail!("not asked")).is_ok_and(|n| n == 7));
    }
}
