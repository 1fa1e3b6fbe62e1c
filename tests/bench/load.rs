//! Generates load and records latencies.
//!
//! In a closed loop every connection sends its next request when the response has arrived: this finds the capacity. In an
//! open loop requests arrive at random times at a given rate, whether or not the server keeps up, and a latency begins at
//! the time at which the request should have been sent. A stall therefore counts for every request that it delays.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use hdrhistogram::Histogram;
use http::Request;
use http::header::RETRY_AFTER;
use http_body_util::Full;
use hyper::body::Bytes;
use nix::time::{ClockId, clock_gettime};
use tokio::sync::mpsc::UnboundedReceiver;

use crate::connection::{Answer, Connection};
use crate::pacer;

/// Produces the requests of a load. `sequence` counts them.
pub trait Flow: Send + Sync {
    /// The next request.
    fn request(&self, sequence: usize) -> Request<Full<Bytes>>;

    /// Receives each response.
    fn answered(&self, _answer: &Answer) {}
}

/// When requests are sent.
#[derive(Debug, Clone, Copy)]
pub enum Pace {
    /// Each connection waits for its response.
    Closed,
    /// This many per second.
    Open(f64),
}

/// A load.
pub struct Load {
    pub flow: Arc<dyn Flow>,
    /// The servers; the connections are spread over them.
    pub targets: Vec<SocketAddr>,
    pub connections: usize,
    pub threads: usize,
    pub warm_up: Duration,
    pub duration: Duration,
    pub pace: Pace,
}

/// What happened.
pub struct Report {
    /// Microseconds by status, of the measured part.
    by_status: BTreeMap<u16, Histogram<u64>>,
    /// Requests without a response.
    pub failures: u64,
    first_failure: Option<String>,
    /// All responses, also those of the warm-up.
    pub total: u64,
    /// Responses 503 with `Retry-After`.
    pub with_retry_after: u64,
    /// CPU seconds of the load generator.
    pub generator_seconds: f64,
    seconds: f64,
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000, 3).expect("valid bounds")
}

impl Report {
    fn new(seconds: f64) -> Self {
        Self {
            by_status: BTreeMap::new(),
            failures: 0,
            first_failure: None,
            total: 0,
            with_retry_after: 0,
            generator_seconds: 0.0,
            seconds,
        }
    }

    fn add(&mut self, other: &Self) {
        for (status, latencies) in &other.by_status {
            let own = self.by_status.entry(*status).or_insert_with(histogram);
            own.add(latencies).expect("the same bounds");
        }
        self.failures += other.failures;
        self.first_failure = self.first_failure.take().or_else(|| other.first_failure.clone());
        self.total += other.total;
        self.with_retry_after += other.with_retry_after;
        self.generator_seconds += other.generator_seconds;
    }

    /// Responses with this status in the measured part.
    pub fn count(&self, status: u16) -> u64 {
        self.by_status.get(&status).map_or(0, Histogram::len)
    }

    /// Successful responses per second.
    pub fn rate(&self) -> f64 {
        self.count(200) as f64 / self.seconds
    }

    /// A quantile of the latency of successful responses, in milliseconds.
    pub fn latency(&self, quantile: f64) -> f64 {
        self.by_status.get(&200).map_or(f64::NAN, |all| all.value_at_quantile(quantile) as f64 / 1000.0)
    }

    /// The largest latency of any response, in milliseconds.
    pub fn slowest(&self) -> f64 {
        self.by_status.values().map(Histogram::max).max().unwrap_or_default() as f64 / 1000.0
    }

    /// Microseconds of CPU time that the load generator needs for a request.
    pub fn generator_micros(&self) -> f64 {
        self.generator_seconds * 1e6 / self.total.max(1) as f64
    }

    /// The number of responses by status.
    pub fn statuses(&self) -> String {
        self.statuses_except(&[])
    }

    /// The same without these.
    pub fn statuses_except(&self, without: &[u16]) -> String {
        let shown = self.by_status.iter().filter(|(status, _)| !without.contains(status));
        shown.map(|(status, all)| format!("{status}: {}", all.len())).collect::<Vec<_>>().join(", ")
    }

    /// The report, unless more than one in a thousand requests did not succeed.
    pub fn checked(self) -> anyhow::Result<Self> {
        let good = self.count(200);
        let other: u64 = self.by_status.values().map(Histogram::len).sum::<u64>() - good + self.failures;
        ensure!(
            good > 0 && other * 1000 <= good,
            "requests failed: {}; without a response: {} ({})",
            self.statuses(),
            self.failures,
            self.first_failure.as_deref().unwrap_or("-")
        );
        Ok(self)
    }
}

/// What the connections of one thread share.
struct Worker {
    flow: Arc<dyn Flow>,
    sequence: Arc<AtomicUsize>,
    arrivals: Option<tokio::sync::Mutex<UnboundedReceiver<Instant>>>,
    measured_from: Instant,
    end: Instant,
    report: Mutex<Report>,
}

impl Load {
    /// Runs it to its end.
    pub async fn run(self) -> anyhow::Result<Report> {
        tokio::task::spawn_blocking(move || self.run_in_threads()).await.context("the load generator")?
    }

    fn run_in_threads(&self) -> anyhow::Result<Report> {
        let sequence = Arc::new(AtomicUsize::new(0));
        let begin = Instant::now();
        let reports: Vec<anyhow::Result<Report>> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..self.threads)
                .map(|thread| {
                    let sequence = Arc::clone(&sequence);
                    scope.spawn(move || self.run_thread(thread, begin, sequence))
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().expect("a load generator thread")).collect()
        });
        let mut whole = Report::new(self.duration.as_secs_f64());
        for report in reports {
            whole.add(&report?);
        }
        Ok(whole)
    }

    fn run_thread(
        &self,
        thread: usize,
        begin: Instant,
        sequence: Arc<AtomicUsize>,
    ) -> anyhow::Result<Report> {
        let measured_from = begin + self.warm_up;
        let end = measured_from + self.duration;
        let (arrivals, pacer) = match self.pace {
            Pace::Closed => (None, None),
            Pace::Open(rate) => {
                let share = rate / self.threads as f64;
                let (arrivals, pacer) = pacer::start(begin, end, share, thread);
                (Some(tokio::sync::Mutex::new(arrivals)), Some(pacer))
            }
        };
        let report = Mutex::new(Report::new(self.duration.as_secs_f64()));
        let flow = Arc::clone(&self.flow);
        let worker = Arc::new(Worker { flow, sequence, arrivals, measured_from, end, report });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let own = (thread..self.connections.max(self.threads)).step_by(self.threads);
            let tasks: Vec<_> = own
                .map(|number| {
                    let target = self.targets[number % self.targets.len()];
                    tokio::spawn(Arc::clone(&worker).run(Connection::new(target, number)))
                })
                .collect();
            for task in tasks {
                task.await.context("a connection of the load generator")?;
            }
            anyhow::Ok(())
        })?;
        drop(runtime);
        let pacing_seconds = pacer.map_or(0.0, |pacer| pacer.join().expect("the pacer"));
        let worker = Arc::into_inner(worker).context("all connections have ended")?;
        let mut report = worker.report.into_inner().unwrap_or_else(PoisonError::into_inner);
        report.generator_seconds = thread_seconds() + pacing_seconds;
        Ok(report)
    }
}

/// The CPU time of this thread.
pub fn thread_seconds() -> f64 {
    let time = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("the clock of this thread");
    Duration::from(time).as_secs_f64()
}

impl Worker {
    async fn run(self: Arc<Self>, mut connection: Connection) {
        while let Some(intended) = self.next().await {
            let request = self.flow.request(self.sequence.fetch_add(1, Ordering::Relaxed));
            let outcome = connection.exchange(request).await;
            self.record(intended, Instant::now(), outcome);
        }
    }

    /// When the next request should be sent, once that time has come.
    async fn next(&self) -> Option<Instant> {
        match &self.arrivals {
            Some(arrivals) => arrivals.lock().await.recv().await,
            None => Some(Instant::now()).filter(|now| *now < self.end),
        }
    }

    fn record(&self, intended: Instant, now: Instant, outcome: anyhow::Result<Answer>) {
        let mut report = self.report.lock().unwrap_or_else(PoisonError::into_inner);
        // An open loop counts what arrived in the measured time, a closed loop what was answered in it.
        let counted = if self.arrivals.is_some() { intended } else { now };
        let is_measured = (self.measured_from..self.end).contains(&counted);
        match outcome {
            Err(error) => {
                report.failures += 1;
                report.first_failure.get_or_insert_with(|| format!("{error:#}"));
            }
            Ok(answer) => {
                report.total += 1;
                if is_measured {
                    let micros = u64::try_from((now - intended).as_micros()).unwrap_or(u64::MAX);
                    let status = answer.status.as_u16();
                    report.by_status.entry(status).or_insert_with(histogram).saturating_record(micros.max(1));
                    if status == 503 && answer.headers.contains_key(RETRY_AFTER) {
                        report.with_retry_after += 1;
                    }
                }
                self.flow.answered(&answer);
            }
        }
    }
}
