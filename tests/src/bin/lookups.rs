//! `cargo lookups`: services that ask about customers while events flow, and how long they wait.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use cebe_dev::demo::{Message, Publisher, Stream};
use cebe_tests::system::{Engine, System};
use clap::Parser;
use serde_json::{Value, json};

const ACCOUNTS: [&str; 3] = ["a", "b", "c"];
/// Of the customers that are asked about.
const ACCOUNT: &str = "asked";
/// One in so many shares the phone of its neighbour, and is one person with it.
const SHARED: u64 = 20;
/// Events handed to Kafka at a time.
const BATCH: u64 = 20_000;
/// Connections that ask; each waits for its answer before it asks again.
const CONNECTIONS: u64 = 16;
const LOADED_PATIENCE: Duration = Duration::from_secs(3_600);
const TIMEOUT: Duration = Duration::from_secs(10);

/// Asks about random customers at a steady rate while events flow, and says how long answers take.
///
/// Servers and engine are its own, in a folder that is deleted. A latency runs from when the question was due,
/// not from when a connection was free to ask it.
#[derive(Parser)]
#[command(name = "lookups", max_term_width = 100)]
struct Arguments {
    /// Customers that are held.
    #[arg(long, default_value_t = 1_000_000)]
    customers: u64,
    /// Questions a second.
    #[arg(long, default_value_t = 200)]
    rate: u64,
    /// Live events a second.
    #[arg(long, default_value_t = 1_000)]
    events: u32,
    /// How long events flow before the first question, in seconds: ClickHouse merges what has just come in.
    #[arg(long, default_value_t = 60)]
    settle: u64,
    /// How long each kind of question is asked, in seconds.
    #[arg(long, default_value_t = 30)]
    seconds: u64,
    /// Print the result as one JSON object.
    #[arg(long)]
    json: bool,
}

/// A kind of question: its name, and the path about a customer.
type Kind = (&'static str, fn(u64) -> String);

const KINDS: [Kind; 5] = [
    ("by id", |n| format!("customers/{n}?account_id={ACCOUNT}")),
    ("by phone", |n| format!("customers?account_id={ACCOUNT}&phone={}", phone(n))),
    ("with rates", |n| format!("customers/{n}?account_id={ACCOUNT}&include=rates")),
    ("100 members", |_| format!("segments/reached/members?account_id={ACCOUNT}&limit=100")),
    ("a rate", |n| {
        format!("metrics/reply_rate?account_id={ACCOUNT}&group_key=b-{}", n % BROADCASTS)
    }),
];
const BROADCASTS: u64 = 100;

fn phone(n: u64) -> String {
    let holder = if n.is_multiple_of(SHARED) { n + 1 } else { n };
    format!("0811{holder:08}")
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let system = System::measured()?;
    let mut engine = system.engine()?;
    for source in ["cdp", "broadcast", "ads"] {
        system.cebe_ok(&["source", "on", source])?;
    }
    let segment = json!({"segments": [{"segment_id": "reached", "account_id": ACCOUNT,
        "when": {"did": "broadcast.sent"}}]});
    system.control(&segment)?;
    let loading = Instant::now();
    load(&system, arguments.customers)?;
    eprintln!("{} customers in {} s", arguments.customers, loading.elapsed().as_secs());
    let stream = Stream::new(1, "beside", &ACCOUNTS);
    let flow = Publisher::start(&system.services, arguments.events, stream)?;
    thread::sleep(Duration::from_secs(arguments.settle));
    let answers: Vec<Answers> =
        KINDS.iter().map(|kind| ask(&engine, *kind, &arguments)).collect::<Result<_, _>>()?;
    ensure!(engine.is_running()?, "the engine has ended: {}", engine.log_tail());
    let published = flow.stop()?;
    engine.stop()?;
    if arguments.json {
        let rows: Vec<Value> = answers.iter().map(Answers::json).collect();
        println!(
            "{}",
            json!({"customers": arguments.customers, "published": published, "questions": rows})
        );
        return Ok(());
    }
    println!(
        "{} customers, {} questions a second, {published} live events",
        arguments.customers, arguments.rate
    );
    println!(
        "{:12} {:>8} {:>7} {:>8} {:>8} {:>8} {:>8}",
        "", "answers", "wrong", "p50 ms", "p90 ms", "p99 ms", "max ms"
    );
    answers.iter().for_each(|one| println!("{one}"));
    Ok(())
}

/// Customers with a phone each, and a broadcast to one in ten; waits until all can be asked about.
fn load(system: &System, customers: u64) -> anyhow::Result<()> {
    let now = jiff::Timestamp::now().as_millisecond();
    for first in (0..customers).step_by(BATCH as usize) {
        let batch = first..(first + BATCH).min(customers);
        let events = batch.flat_map(|n| {
            let event = |source: &'static str, name: &str, properties: Value| {
                let event = json!({"event_name": name, "schema_version": 1, "source_module": source,
                    "idempotency_key": format!("{name}-{n}"), "account_id": ACCOUNT,
                    "qontak_customer_id": n.to_string(), "occurred_at": now, "properties": properties});
                Message { source, key: format!("{ACCOUNT}{n}"), payload: event.to_string() }
            };
            let about = json!({"phone": phone(n), "city": "Jakarta", "tier": "gold"});
            let sent = json!({"broadcast_id": format!("b-{}", n / 10 % BROADCASTS)});
            let sent = n.is_multiple_of(10).then(|| event("broadcast", "broadcast.sent", sent));
            [event("cdp", "customer.created", about)].into_iter().chain(sent)
        });
        system.publish(&events.collect::<Vec<_>>())?;
    }
    let begin = Instant::now();
    let wanted = customers + customers.div_ceil(10);
    loop {
        let read = system.number("SELECT sum(accepted) FROM cebe.ingest_ledger")?;
        let missing = system.number(&format!(
            "SELECT {customers} - count() FROM cebe.identities WHERE account_id = '{ACCOUNT}'"
        ))?;
        if read >= wanted && missing == 0 {
            return Ok(());
        }
        ensure!(begin.elapsed() < LOADED_PATIENCE, "only {read} of {wanted} events are loaded");
        eprintln!("{read} of {wanted} events are loaded");
        thread::sleep(Duration::from_secs(5));
    }
}

/// What came of one kind of question.
struct Answers {
    kind: &'static str,
    wrong: u64,
    /// Sorted.
    latencies: Vec<Duration>,
}

fn ask(engine: &Engine, (kind, path): Kind, arguments: &Arguments) -> anyhow::Result<Answers> {
    eprintln!("{kind}: {} s", arguments.seconds);
    let all = arguments.rate * arguments.seconds;
    let (next, begin) = (AtomicU64::new(0), Instant::now());
    let asked = || -> anyhow::Result<(u64, Vec<Duration>)> {
        let config = ureq::Agent::config_builder().timeout_global(Some(TIMEOUT));
        let agent: ureq::Agent = config.http_status_as_error(false).build().into();
        let (mut wrong, mut latencies) = (0, Vec::new());
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= all {
                return Ok((wrong, latencies));
            }
            let due = begin + Duration::from_secs(number) / arguments.rate as u32;
            thread::sleep(due.saturating_duration_since(Instant::now()));
            let customer = fastrand::u64(0..arguments.customers);
            let mut answer = agent.get(format!("{}/v1/{}", engine.url(), path(customer))).call()?;
            let body = answer.body_mut().read_to_string().context("no body")?;
            latencies.push(due.elapsed());
            let is_right = answer.status() == 200 && body.contains("\"is_stale\":false");
            wrong += u64::from(!is_right);
        }
    };
    let mut answers = Answers { kind, wrong: 0, latencies: Vec::new() };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..CONNECTIONS).map(|_| scope.spawn(asked)).collect();
        threads.into_iter().try_for_each(|thread| {
            let (wrong, latencies) = thread.join().expect("asking does not panic")?;
            answers.wrong += wrong;
            answers.latencies.extend(latencies);
            Ok::<_, anyhow::Error>(())
        })
    })?;
    answers.latencies.sort_unstable();
    Ok(answers)
}

impl Answers {
    fn ms(&self, per_mille: usize) -> f64 {
        let at = (self.latencies.len() * per_mille / 1_000).min(self.latencies.len() - 1);
        self.latencies[at].as_secs_f64() * 1e3
    }

    fn json(&self) -> Value {
        json!({"kind": self.kind, "answers": self.latencies.len(), "wrong": self.wrong,
            "p50_ms": self.ms(500), "p90_ms": self.ms(900), "p99_ms": self.ms(990), "max_ms": self.ms(1_000)})
    }
}

impl fmt::Display for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:12} {:>8} {:>7}", self.kind, self.latencies.len(), self.wrong)?;
        [500, 900, 990, 1_000].into_iter().try_for_each(|at| write!(f, " {:>8.1}", self.ms(at)))
    }
}
