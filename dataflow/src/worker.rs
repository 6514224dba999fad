//! The worker threads, and the handle that feeds them tick by tick.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::sync::{Arc, Mutex};

use timely::communication::WorkerGuards;
use timely::worker::Worker;

use crate::error::DataflowError;
use crate::graph::{Answers, Graph, Shard};

/// What a worker is told to do.
pub enum Order {
    /// Take in its input of one tick.
    Tick { time: u64, shard: Shard },
    /// Look something up. Every tick before has been worked off by then.
    Ask(Question),
}

/// Carries the way back for its answer.
type Question = Box<dyn FnOnce(&mut Graph) + Send>;

/// What a worker says.
enum Report {
    Answered(Answers),
    /// Its thread ended without being told to.
    Stopped {
        worker: usize,
    },
}

/// Worker threads that sleep until they are given something to do.
pub struct Workers {
    orders: Vec<Sender<Order>>,
    reports: Receiver<Report>,
    stop: Arc<AtomicBool>,
    guards: Option<WorkerGuards<()>>,
}

impl Workers {
    /// Starts `workers` threads, each with a dataflow made by `build`.
    ///
    /// # Errors
    /// [`DataflowError::Start`].
    pub fn start(
        workers: usize,
        build: impl Fn(&mut Worker) -> Graph + Send + Sync + 'static,
    ) -> Result<Workers, DataflowError> {
        let (report, reports) = channel();
        let stop = Arc::new(AtomicBool::new(false));
        let (orders, seats): (Vec<_>, Vec<_>) = (0..workers)
            .map(|worker| {
                let (order, orders) = channel();
                let seat = Seat { worker, orders, report: report.clone(), stop: stop.clone() };
                (order, Mutex::new(Some(seat)))
            })
            .unzip();
        let guards = timely::execute(timely::Config::process(workers), move |worker| {
            let seat = seats[worker.index()].lock().ok().and_then(|mut seat| seat.take());
            if let Some(seat) = seat {
                seat.work(worker, &build);
            }
        })
        .map_err(|reason| DataflowError::Start { reason })?;
        Ok(Workers { orders, reports, stop, guards: Some(guards) })
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.orders.len()
    }

    /// Gives each worker its order and waits for all answers.
    ///
    /// # Errors
    /// [`DataflowError::WorkerStopped`].
    pub fn tick(&self, orders: Vec<Order>) -> Result<Vec<Answers>, DataflowError> {
        for (worker, (sender, order)) in self.orders.iter().zip(orders).enumerate() {
            sender.send(order).map_err(|_| DataflowError::WorkerStopped { worker })?;
        }
        self.unpark();
        self.orders
            .iter()
            .map(|_| match self.reports.recv() {
                Ok(Report::Answered(answers)) => Ok(answers),
                Ok(Report::Stopped { worker }) => Err(DataflowError::WorkerStopped { worker }),
                Err(_) => Err(DataflowError::WorkerStopped { worker: 0 }),
            })
            .collect()
    }

    /// Puts a question to one worker and waits for the answer.
    ///
    /// # Errors
    /// [`DataflowError::WorkerStopped`].
    pub fn ask<A: Send + 'static>(
        &self,
        worker: usize,
        question: impl FnOnce(&mut Graph) -> A + Send + 'static,
    ) -> Result<A, DataflowError> {
        let answer = self.put(worker, question)?;
        self.unpark();
        answer.recv().map_err(|_| DataflowError::WorkerStopped { worker })
    }

    /// Puts one question to all workers at once and waits for the answers, in order of the workers.
    ///
    /// # Errors
    /// [`DataflowError::WorkerStopped`].
    pub fn ask_all<A: Send + 'static>(
        &self,
        question: impl Fn(&mut Graph) -> A + Clone + Send + 'static,
    ) -> Result<Vec<A>, DataflowError> {
        let answers = (0..self.count()).map(|worker| self.put(worker, question.clone()));
        let answers = answers.collect::<Result<Vec<_>, _>>()?;
        self.unpark();
        let stopped = |worker| move |_| DataflowError::WorkerStopped { worker };
        let all = answers.into_iter().enumerate();
        all.map(|(worker, answer)| answer.recv().map_err(stopped(worker))).collect()
    }

    /// A worker that ends drops the question, and with it the sender: nobody waits in vain.
    fn put<A: Send + 'static>(
        &self,
        worker: usize,
        question: impl FnOnce(&mut Graph) -> A + Send + 'static,
    ) -> Result<Receiver<A>, DataflowError> {
        let (reply, answer) = channel();
        let question = move |graph: &mut Graph| drop(reply.send(question(graph)));
        let order = Order::Ask(Box::new(question));
        self.orders[worker].send(order).map_err(|_| DataflowError::WorkerStopped { worker })?;
        Ok(answer)
    }

    fn unpark(&self) {
        for guard in self.guards.iter().flat_map(|guards| guards.guards()) {
            guard.thread().unpark();
        }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        self.unpark();
        // A panic of a worker has been reported by then.
        let _ = self.guards.take().map(WorkerGuards::join);
    }
}

/// One worker's end of the channels.
struct Seat {
    worker: usize,
    orders: Receiver<Order>,
    report: Sender<Report>,
    stop: Arc<AtomicBool>,
}

impl Seat {
    fn work(self, worker: &mut Worker, build: &impl Fn(&mut Worker) -> Graph) {
        let mut graph = build(worker);
        while !self.stopped() {
            match self.orders.try_recv() {
                Ok(Order::Ask(question)) => question(&mut graph),
                Ok(Order::Tick { time, shard }) => {
                    graph.feed(time, shard);
                    while graph.is_behind(time) && !self.stopped() {
                        worker.step_or_park(None);
                    }
                    // Nobody listens any more only when told to stop.
                    let _ = self.report.send(Report::Answered(graph.answers()));
                }
                // The others may still need something from this one.
                Err(TryRecvError::Empty) => drop(worker.step_or_park(None)),
                Err(TryRecvError::Disconnected) => break,
            }
        }
        for dataflow in worker.installed_dataflows() {
            worker.drop_dataflow(dataflow);
        }
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }
}

/// However its thread ends, nobody waits for it in vain.
impl Drop for Seat {
    fn drop(&mut self) {
        // Closed first: an order after the report would wait for ever.
        self.orders = channel().1;
        let _ = self.report.send(Report::Stopped { worker: self.worker });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn orders(times: [u64; 2]) -> Vec<Order> {
        times.map(|time| Order::Tick { time, shard: Shard::default() }).into()
    }

    #[test]
    fn a_worker_that_dies_in_a_tick_is_an_error_and_no_hang() {
        let workers = Workers::start(2, Graph::build).unwrap();
        assert!(workers.tick(orders([5, 5])).is_ok());
        // Going back in time is a panic inside; the other worker then waits for it.
        let died = workers.tick(orders([6, 3])).err();
        assert_eq!(died, Some(DataflowError::WorkerStopped { worker: 1 }));
        let after = workers.tick(orders([7, 7])).err();
        assert_eq!(after, Some(DataflowError::WorkerStopped { worker: 1 }));
        let asked = workers.ask_all(|_| ()).err();
        assert_eq!(asked, Some(DataflowError::WorkerStopped { worker: 1 }));
    }

    #[test]
    fn a_worker_that_dies_at_once_is_an_error_and_no_hang() {
        let build = |worker: &mut Worker| {
            assert_ne!(worker.index(), 0, "on purpose");
            Graph::build(worker)
        };
        let workers = Workers::start(2, build).unwrap();
        let died = workers.tick(orders([5, 5])).err();
        assert_eq!(died, Some(DataflowError::WorkerStopped { worker: 0 }));
    }
}
