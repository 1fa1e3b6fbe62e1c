//! One watch over several namespaces, for an operator that may not watch all of them.
//!
//! The events of a watch contain complete lists, which replace what was known. A list of one namespace must not replace
//! the objects of the others: when one namespace has been listed again, all others are listed again too.

use std::collections::VecDeque;

use futures::stream::{self, BoxStream, SelectAll};
use futures::{Stream, StreamExt};
use kube::runtime::watcher::{self, Event};

/// The events of a watch.
pub(super) type Events<K> = BoxStream<'static, watcher::Result<Event<K>>>;

/// The events of the watch of one place, with the number of both.
type NumberedEvents<K> = BoxStream<'static, (usize, u64, watcher::Result<Event<K>>)>;

/// The watch of one namespace.
struct Place<K> {
    /// The number of the watch: events of a watch that was replaced are ignored.
    number: u64,
    /// A list in progress.
    listed: Vec<K>,
    /// Whether the current list is complete.
    done: bool,
}

struct Joint<K, F> {
    start: F,
    places: Vec<Place<K>>,
    watches: SelectAll<NumberedEvents<K>>,
    /// Whether a complete list of all places was passed on.
    complete: bool,
    ready: VecDeque<watcher::Result<Event<K>>>,
    /// Changes in places that are listed already, until the list is complete.
    held: Vec<Event<K>>,
}

/// The events of the watches that `start` starts for each of `count` places.
pub(super) fn join<K: Send + 'static>(
    count: usize,
    start: impl FnMut(usize) -> Events<K> + Send + 'static,
) -> impl Stream<Item = watcher::Result<Event<K>>> + Send {
    let places = (0..count).map(|_| Place { number: 0, listed: Vec::new(), done: false }).collect();
    let mut joint = Joint {
        start,
        places,
        watches: SelectAll::new(),
        complete: false,
        ready: VecDeque::from([Ok(Event::Init)]),
        held: Vec::new(),
    };
    for place in 0..count {
        joint.watch(place);
    }
    stream::unfold(joint, |mut joint| async move {
        loop {
            if let Some(event) = joint.ready.pop_front() {
                return Some((event, joint));
            }
            let (place, number, event) = joint.watches.next().await?;
            if joint.places[place].number == number {
                joint.process(place, event);
            }
        }
    })
}

impl<K: Send + 'static, F: FnMut(usize) -> Events<K>> Joint<K, F> {
    /// Starts the watch of a place, with a new list.
    fn watch(&mut self, place: usize) {
        let current = &mut self.places[place];
        current.number += 1;
        current.done = false;
        current.listed.clear();
        let number = current.number;
        self.watches.push((self.start)(place).map(move |event| (place, number, event)).boxed());
    }

    fn process(&mut self, place: usize, event: watcher::Result<Event<K>>) {
        let event = match event {
            Ok(event) => event,
            Err(error) => return self.ready.push_back(Err(error)),
        };
        match event {
            Event::Init => {
                self.places[place].done = false;
                self.places[place].listed.clear();
            }
            Event::InitApply(object) => self.places[place].listed.push(object),
            Event::InitDone => self.end_list(place),
            change @ (Event::Apply(_) | Event::Delete(_)) => {
                if self.complete {
                    self.ready.push_back(Ok(change));
                } else {
                    self.held.push(change);
                }
            }
        }
    }

    fn end_list(&mut self, place: usize) {
        if self.complete {
            // Only now, so that a namespace that cannot be listed does not make the others list again and again.
            self.complete = false;
            self.ready.push_back(Ok(Event::Init));
            for other in (0..self.places.len()).filter(|other| *other != place) {
                self.watch(other);
            }
        }
        let listed = std::mem::take(&mut self.places[place].listed);
        self.ready.extend(listed.into_iter().map(|object| Ok(Event::InitApply(object))));
        self.places[place].done = true;
        if self.places.iter().all(|place| place.done) {
            self.complete = true;
            self.ready.push_back(Ok(Event::InitDone));
            self.ready.extend(self.held.drain(..).map(Ok));
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};

    use super::*;

    type Sender = UnboundedSender<watcher::Result<Event<u8>>>;

    /// A joint watch on two places, and the sender of each watch that it starts.
    fn joint() -> (Events<u8>, UnboundedReceiver<(usize, Sender)>) {
        let (started, starts) = unbounded();
        let events = join(2, move |place| {
            let (sender, receiver) = unbounded();
            started.unbounded_send((place, sender)).unwrap();
            receiver.boxed()
        });
        (events.boxed(), starts)
    }

    async fn texts(events: &mut Events<u8>, count: usize) -> Vec<String> {
        let mut texts = Vec::new();
        for _ in 0..count {
            texts.push(match events.next().await.unwrap() {
                Ok(Event::Init) => "init".to_owned(),
                Ok(Event::InitApply(object)) => format!("list {object}"),
                Ok(Event::InitDone) => "done".to_owned(),
                Ok(Event::Apply(object)) => format!("apply {object}"),
                Ok(Event::Delete(object)) => format!("delete {object}"),
                Err(_) => "error".to_owned(),
            });
        }
        texts
    }

    fn send(sender: &Sender, events: Vec<Event<u8>>) {
        for event in events {
            sender.unbounded_send(Ok(event)).unwrap();
        }
    }

    #[tokio::test]
    async fn a_list_of_one_place_keeps_the_objects_of_the_other() {
        let (mut events, mut starts) = joint();
        let (_, first) = starts.next().await.unwrap();
        let (_, second) = starts.next().await.unwrap();
        send(&first, vec![Event::Init, Event::InitApply(1), Event::InitDone, Event::Apply(2)]);
        assert_eq!(texts(&mut events, 2).await, ["init", "list 1"]);
        // A list that is interrupted is not passed on.
        send(
            &second,
            vec![Event::Init, Event::InitApply(8), Event::Init, Event::InitApply(9), Event::InitDone],
        );
        assert_eq!(texts(&mut events, 3).await, ["list 9", "done", "apply 2"]);
        send(&first, vec![Event::Delete(2)]);
        assert_eq!(texts(&mut events, 1).await, ["delete 2"]);

        // The first is listed again: the second too, by a new watch.
        send(&first, vec![Event::Init, Event::InitApply(1), Event::InitDone]);
        assert_eq!(texts(&mut events, 2).await, ["init", "list 1"]);
        let (place, again) = starts.next().await.unwrap();
        assert_eq!(place, 1);
        // What the old watch still has is ignored.
        send(&second, vec![Event::Delete(9)]);
        send(&again, vec![Event::Init, Event::InitApply(9), Event::InitDone]);
        assert_eq!(texts(&mut events, 2).await, ["list 9", "done"]);
    }
}
