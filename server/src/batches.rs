//! Answering many requests together: one round trip answers all questions that arrived while the previous ones were running.
//! It starts after its questions were asked, so that no answer is stale.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

/// The maximum number of questions in a batch.
const BATCH: usize = 256;
/// The maximum number of concurrent batches. While one connection is silent, another batch may get one that works.
const READERS: usize = 2;
/// How long a question waits for its answer, which includes the wait for the batches before its own.
const PATIENCE: Duration = Duration::from_millis(2_500);

/// What answers questions.
pub trait Source: Send + Sync + 'static {
    type Question: Send;
    type Answer: Send;

    /// Answers each question of a batch. One that it does not answer fails.
    fn answer(&self, batch: Vec<Pending<Self::Question, Self::Answer>>) -> impl Future<Output = ()> + Send;
}

/// A question that waits for its answer.
pub struct Pending<Q, A> {
    pub question: Q,
    answer: oneshot::Sender<A>,
}

impl<Q, A> Pending<Q, A> {
    pub fn answer(self, answer: A) {
        // The receiver of a cancelled request is gone.
        let _ = self.answer.send(answer);
    }
}

/// Collects questions into batches. Cheap to clone.
pub struct Batches<S: Source>(Arc<Inner<S>>);

impl<S: Source> Clone for Batches<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

struct Inner<S: Source> {
    source: S,
    queue: Mutex<Queue<S>>,
}

struct Queue<S: Source> {
    questions: Vec<Pending<S::Question, S::Answer>>,
    /// The number of running [`Reader`]s.
    readers: usize,
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unanswered {
    /// The task that answers ended.
    Ended,
    /// There was no answer within the time limit.
    Late,
}

impl<S: Source> Batches<S> {
    pub fn new(source: S) -> Self {
        let queue = Mutex::new(Queue { questions: Vec::new(), readers: 0 });
        Self(Arc::new(Inner { source, queue }))
    }

    pub async fn ask(&self, question: S::Question) -> Result<S::Answer, Unanswered> {
        let (answer, answered) = oneshot::channel();
        if self.0.enqueue(Pending { question, answer }) {
            tokio::spawn(answer_all(Reader { inner: Arc::clone(&self.0), is_counted: true }));
        }
        match timeout(PATIENCE, answered).await {
            Ok(answer) => answer.map_err(|_| Unanswered::Ended),
            Err(_) => Err(Unanswered::Late),
        }
    }
}

impl<S: Source> Inner<S> {
    fn queue(&self) -> MutexGuard<'_, Queue<S>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a question. Returns whether the caller has to start a reader, which is already counted.
    fn enqueue(&self, question: Pending<S::Question, S::Answer>) -> bool {
        let mut queue = self.queue();
        queue.questions.push(question);
        let starts = queue.readers < READERS;
        queue.readers += usize::from(starts);
        starts
    }
}

/// A task that answers questions. Dropping it decrements the count even after a panic, so that the next question starts
/// another reader.
struct Reader<S: Source> {
    inner: Arc<Inner<S>>,
    is_counted: bool,
}

impl<S: Source> Reader<S> {
    /// Returns the next questions, or none if the reader has to end. It is not counted from then on, so that a later
    /// question starts another reader.
    fn next_batch(&mut self) -> Vec<Pending<S::Question, S::Answer>> {
        let mut queue = self.inner.queue();
        let count = queue.questions.len().min(BATCH);
        if count == 0 {
            queue.readers -= 1;
            self.is_counted = false;
        }
        queue.questions.drain(..count).collect()
    }
}

impl<S: Source> Drop for Reader<S> {
    fn drop(&mut self) {
        if self.is_counted {
            self.inner.queue().readers -= 1;
        }
    }
}

async fn answer_all<S: Source>(mut reader: Reader<S>) {
    loop {
        let batch = reader.next_batch();
        if batch.is_empty() {
            return;
        }
        reader.inner.source.answer(batch).await;
    }
}
