//! Clients that send their headers or bodies byte by byte, or stop in the middle.

use std::time::{Duration, Instant};

use futures::future::join_all;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::user::pause;
use crate::world::World;

const CLIENTS: usize = 150;

pub async fn run(world: &World, duration: Duration) {
    let end = Instant::now() + duration;
    join_all((0..CLIENTS).map(|number| trickle(world, number, end))).await;
}

async fn trickle(world: &World, number: usize, end: Instant) {
    let port = world.replicas[number % world.replicas.len()].proxy.port();
    while Instant::now() < end {
        let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)).await else {
            pause(100).await;
            continue;
        };
        let beginning: &[u8] = if number.is_multiple_of(2) {
            b"GET /api/v1/auth/me HTTP/1.1\r\nHost: auth.example.test\r\nX-Filler: "
        } else {
            b"POST /api/v1/auth/login HTTP/1.1\r\nHost: auth.example.test\r\nContent-Length: 60000\r\n\
              Content-Type: application/x-www-form-urlencoded\r\n\r\nusername="
        };
        let mut is_open = stream.write_all(beginning).await.is_ok();
        while is_open && Instant::now() < end {
            pause(100).await;
            is_open = stream.write_all(b"x").await.is_ok();
        }
    }
}
