//! Ten times the load for a while: many more clients, who use known tokens and guess passwords.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::join_all;

use crate::client::Client;
use crate::history::{Account, Endpoint};
use crate::random::Random;
use crate::user::{pause, username};
use crate::world::World;

/// Clients of each kind.
const READERS: u64 = 60;
const GUESSERS: u64 = 60;
/// An account that does not exist. A guess at its password costs as much as any other login.
pub const NOBODY: Account = Account::MAX;

pub async fn run(world: &Arc<World>, duration: Duration) {
    let end = Instant::now() + duration;
    let client = Client::new(Arc::clone(world), Random::new(u64::from(NOBODY)));
    let accounts = world.accounts();
    let readers = (0..READERS).map(|number| {
        let mut client = client.fork(number);
        let accounts = accounts.clone();
        async move {
            while Instant::now() < end && !accounts.is_empty() {
                let account = *client.random.pick(&accounts);
                let known = client.world.known(account);
                if known.is_empty() {
                    pause(20).await;
                    continue;
                }
                let known = client.random.pick(&known).clone();
                client.present(Endpoint::Me, None, account, (known.session, &known.access)).await;
                pause(10).await;
            }
        }
    });
    let guessers = (0..GUESSERS).map(|number| {
        let mut client = client.fork(READERS + number);
        async move {
            while Instant::now() < end {
                client.log_in(NOBODY, (&username(NOBODY), "a wrong phrase"), 0).await;
                pause(50).await;
            }
        }
    });
    tokio::join!(join_all(readers), join_all(guessers));
}
