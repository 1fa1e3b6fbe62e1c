//! Refresh token rotation in every state that a client with two tabs, a thief and a few replicas can reach. The decision is
//! the server's own function; the model adds what the transaction of `store/refresh_tokens.rs` does with it. The one statement
//! that rotates the current token there is such a transaction too: it decides `Current` as that function does.

#![expect(clippy::print_stdout, reason = "the tests print how many states there are")]

#[path = "../explorer.rs"]
mod explorer;

use chrono::{DateTime, TimeDelta, Utc};
use explorer::{Counterexample, Model, Reached, explore};
use latchkey_protocol::rotation::{Decision, GRACE, Generation, decide_rotation};

/// The time between two ticks. The grace period lasts two of them.
const TICK: TimeDelta = TimeDelta::milliseconds(4_500);
/// So many ticks after the exchange the grace period is over.
const OVER: u8 = 3;
/// Tokens are numbered; a session has no more.
const MOST_TOKENS: u8 = 4;
/// Two tabs of the client, and a thief.
const HOLDERS: usize = 3;
const THIEF: usize = 2;

/// A row of `refresh_tokens`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
enum Row {
    #[default]
    Missing,
    Current,
    /// Exchanged so many ticks ago.
    Rotated(u8),
}

/// A request, as the holder sees it. The server decides at any moment in between.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
enum Request {
    #[default]
    None,
    Sent,
    /// The response is on its way: a token, or a refusal.
    Decided(Option<u8>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
struct Holder {
    /// The token that it would present; 0 is none.
    token: u8,
    request: Request,
    refused: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct State {
    ended: bool,
    rows: [Row; MOST_TOKENS as usize + 1],
    /// Ticks since the first exchange of each token. The model never forgets it.
    exchanged: [Option<u8>; MOST_TOKENS as usize + 1],
    holders: [Holder; HOLDERS],
    logged_out: bool,
    /// A token was reused, and the refusal was decided.
    reused: bool,
    /// A promise was broken in the last step.
    broken: Option<&'static str>,
}

#[derive(Debug, Clone, Copy)]
#[expect(dead_code, reason = "counterexamples print them")]
enum Step {
    Send(usize),
    /// The transaction of the exchange commits.
    Decide(usize),
    Receive(usize),
    /// The response is lost, or the replica crashes before or after the commit: the holder presents the same token again.
    Lose(usize),
    /// The tabs share a store of tokens.
    Share(usize, usize),
    Steal,
    LogOut,
    Tick,
}

/// A part of the rotation to omit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Omitted {
    Grace,
    EndOfGrace,
    /// Reuse is refused, and the session goes on.
    EndOfSession,
    /// A token that is presented again gets a new generation.
    Repetition,
    /// Exchanges of one session are not in sequence: both see the token as current.
    Lock,
    /// Ended sessions are exchanged.
    CheckOfEnd,
    /// A token whose row was deleted counts as current.
    MeaningOfMissingRow,
}

#[derive(Debug, Clone, Copy)]
struct Rotation {
    omitted: Option<Omitted>,
    thief: bool,
}

impl Rotation {
    fn omits(self, part: Omitted) -> bool {
        self.omitted == Some(part)
    }

    /// The transaction of the exchange.
    fn exchange(self, state: &mut State, presented: u8) -> Option<u8> {
        let index = usize::from(presented);
        if state.ended && !self.omits(Omitted::CheckOfEnd) {
            return None;
        }
        let now = DateTime::<Utc>::UNIX_EPOCH + TimeDelta::days(1);
        let generation = match state.rows[index] {
            Row::Missing if self.omits(Omitted::MeaningOfMissingRow) => Generation::Current,
            Row::Missing => Generation::Forgotten,
            Row::Current => Generation::Current,
            Row::Rotated(_) if self.omits(Omitted::Lock) => Generation::Current,
            Row::Rotated(ticks) => Generation::Rotated(now - TICK * i32::from(ticks)),
        };
        let decision = match (decide_rotation(generation, now), generation) {
            (Decision::RepeatCurrent, _) if self.omits(Omitted::Grace) => Decision::Theft,
            (Decision::RepeatCurrent, _) if self.omits(Omitted::Repetition) => Decision::Rotate,
            (Decision::Theft, Generation::Rotated(_)) if self.omits(Omitted::EndOfGrace) => {
                Decision::RepeatCurrent
            }
            (decision, _) => decision,
        };
        let granted = match decision {
            Decision::Theft => {
                state.reused = true;
                state.ended = !self.omits(Omitted::EndOfSession);
                return None;
            }
            Decision::RepeatCurrent => {
                let current = state.rows.iter().position(|row| *row == Row::Current).expect("one is current");
                u8::try_from(current).expect("it is small")
            }
            Decision::Rotate => {
                let next = (1..).zip(&state.exchanged[1..]).find(|(token, _)| {
                    !state.rows[usize::from(*token)..].iter().any(|row| *row != Row::Missing)
                        && state.exchanged[usize::from(*token)..].iter().all(Option::is_none)
                })?;
                let next: u8 = next.0;
                for row in &mut state.rows {
                    if matches!(row, Row::Rotated(ticks) if TICK * i32::from(*ticks) > GRACE) {
                        *row = Row::Missing;
                    }
                }
                state.rows[index] = Row::Rotated(0);
                state.rows[usize::from(next)] = Row::Current;
                next
            }
        };
        observe(state, presented);
        Some(granted)
    }
}

/// Notes broken promises after `presented` was exchanged.
fn observe(state: &mut State, presented: u8) {
    let index = usize::from(presented);
    if state.exchanged[index].is_some_and(|ticks| TICK * i32::from(ticks) > GRACE) {
        state.broken = Some("no token works again after the grace period");
    }
    state.exchanged[index].get_or_insert(0);
    if state.logged_out {
        state.broken = Some("no token works after the logout");
    }
    if state.reused {
        state.broken = Some("reuse ends the session");
    }
    if state.rows.iter().filter(|row| **row == Row::Current).count() != 1 {
        state.broken = Some("a session has one current token");
    }
}

impl Model for Rotation {
    type State = State;
    type Step = Step;

    fn initial(&self) -> State {
        let mut rows = [Row::Missing; MOST_TOKENS as usize + 1];
        rows[1] = Row::Current;
        let tab = Holder { token: 1, ..Holder::default() };
        State {
            ended: false,
            rows,
            exchanged: [None; MOST_TOKENS as usize + 1],
            holders: [tab, tab, Holder::default()],
            logged_out: false,
            reused: false,
            broken: None,
        }
    }

    fn add_next(&self, state: &State, next: &mut Vec<(Step, State)>) {
        let mut add = |step, change: &dyn Fn(&mut State)| {
            let mut after = state.clone();
            change(&mut after);
            if after != *state {
                next.push((step, after));
            }
        };
        for (index, holder) in state.holders.iter().enumerate() {
            // A client that was refused logs in anew.
            if holder.token == 0 || holder.token == MOST_TOKENS || holder.refused {
                continue;
            }
            match holder.request {
                Request::None => {
                    add(Step::Send(index), &|after| after.holders[index].request = Request::Sent);
                }
                Request::Sent => {
                    add(Step::Decide(index), &|after| {
                        let granted = self.exchange(after, holder.token);
                        after.holders[index].request = Request::Decided(granted);
                    });
                    add(Step::Lose(index), &|after| after.holders[index].request = Request::None);
                }
                Request::Decided(answer) => {
                    add(Step::Receive(index), &|after| {
                        let it = &mut after.holders[index];
                        *it = match answer {
                            Some(token) => Holder { token, ..Holder::default() },
                            None => Holder { refused: true, request: Request::None, ..*it },
                        };
                    });
                    add(Step::Lose(index), &|after| after.holders[index].request = Request::None);
                }
            }
        }
        for (from, to) in [(0, 1), (1, 0)] {
            let token = state.holders[from].token;
            if state.holders[to].request == Request::None && token > state.holders[to].token {
                add(Step::Share(from, to), &|after| {
                    after.holders[to] = Holder { token, ..Holder::default() }
                });
            }
        }
        if self.thief && state.holders[THIEF].request == Request::None {
            add(Step::Steal, &|after| {
                after.holders[THIEF] = Holder { token: state.holders[0].token, ..Holder::default() };
            });
        }
        add(Step::LogOut, &|after| {
            after.ended = true;
            after.logged_out = true;
        });
        // Without a thief, no tab keeps a token until the grace period after its exchange is over.
        let is_late = |holder: &Holder| {
            let exchanged = state.exchanged[usize::from(holder.token)];
            exchanged.is_some_and(|ticks| TICK * i32::from(ticks + 1) > GRACE)
        };
        if !self.thief && !state.logged_out && state.holders.iter().any(is_late) {
            return;
        }
        add(Step::Tick, &|after| {
            for row in &mut after.rows {
                if let Row::Rotated(ticks) = row {
                    *ticks = OVER.min(*ticks + 1);
                }
            }
            after.exchanged.iter_mut().flatten().for_each(|ticks| *ticks = OVER.min(*ticks + 1));
        });
    }

    fn broken_promise(&self, state: &State) -> Option<&'static str> {
        let refused =
            state.holders.iter().any(|holder| holder.refused || holder.request == Request::Decided(None));
        if !self.thief && !state.logged_out && refused {
            return Some("a client that repeats a request in time keeps its session");
        }
        state.broken
    }
}

const MOST_STATES: usize = 5_000_000;
const ALONE: Rotation = Rotation { omitted: None, thief: false };
const ROBBED: Rotation = Rotation { omitted: None, thief: true };

/// What each part of the rotation is there for.
const NECESSARY: [(Omitted, Rotation); 7] = [
    (Omitted::Grace, ALONE),
    (Omitted::EndOfGrace, ROBBED),
    (Omitted::EndOfSession, ROBBED),
    (Omitted::Repetition, ALONE),
    (Omitted::Lock, ALONE),
    (Omitted::CheckOfEnd, ALONE),
    (Omitted::MeaningOfMissingRow, ROBBED),
];

fn run(rotation: Rotation) -> Result<Reached<State>, Counterexample> {
    let result = explore(&rotation, MOST_STATES);
    match &result {
        Ok(reached) => {
            println!("{rotation:?}: {} states, {} transitions", reached.states.len(), reached.transitions);
        }
        Err(found) => println!(
            "{rotation:?}: {} is broken by state {}:\n{}",
            found.promise, found.explored, found.steps
        ),
    }
    result
}

#[test]
fn a_client_that_repeats_lost_requests_keeps_its_session() {
    run(ALONE).expect("the promises are kept");
}

#[test]
fn no_token_works_again_after_the_grace_period_and_reuse_ends_the_session() {
    run(ROBBED).expect("the promises are kept");
}

#[test]
fn every_part_of_the_rotation_is_necessary() {
    for (part, rotation) in NECESSARY {
        let broken = run(Rotation { omitted: Some(part), ..rotation });
        assert!(broken.is_err(), "{part:?} can be omitted");
    }
}
