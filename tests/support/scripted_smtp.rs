//! An SMTP server whose replies a test chooses: Mailpit refuses with its own text and only some commands.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// The server ends when it is dropped.
#[derive(Debug)]
pub struct ScriptedSmtp {
    port: u16,
    state: Arc<Mutex<State>>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct State {
    /// By the beginning of the command; `.` is the end of the content.
    replies: BTreeMap<String, String>,
    commands: Vec<String>,
}

impl ScriptedSmtp {
    /// Starts a server that accepts everything.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("the address just bound").port();
        let state = Arc::<Mutex<State>>::default();
        let shared = Arc::clone(&state);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&shared)));
            }
        });
        Self { port, state, task }
    }

    /// The variables that make the server send its mail here.
    pub fn variables(&self) -> [(&'static str, String); 5] {
        [
            ("EMAILS_ENABLED", "true".to_owned()),
            ("SMTP_HOST", "127.0.0.1".to_owned()),
            ("SMTP_PORT", self.port.to_string()),
            ("SMTP_TLS", "false".to_owned()),
            ("EMAILS_FROM_EMAIL", "no-reply@example.test".to_owned()),
        ]
    }

    /// From now on answers commands that begin with `command` with `reply`, and all others with success. A `.` is the
    /// end of a message's content.
    pub fn reply(&self, command: &str, reply: &str) {
        let mut state = self.state.lock().expect("the state");
        state.replies = BTreeMap::from([(command.to_owned(), reply.to_owned())]);
    }

    /// Accepts everything again.
    pub fn accept(&self) {
        self.state.lock().expect("the state").replies.clear();
    }

    /// The commands of all clients, in order.
    pub fn commands(&self) -> Vec<String> {
        self.state.lock().expect("the state").commands.clone()
    }
}

impl Drop for ScriptedSmtp {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(stream: TcpStream, state: Arc<Mutex<State>>) -> Option<()> {
    let mut stream = BufReader::new(stream);
    stream.write_all(b"220 mail.example.test ESMTP\r\n").await.ok()?;
    let (mut line, mut in_content) = (String::new(), false);
    loop {
        line.clear();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        let command = line.trim_end();
        if in_content && command != "." {
            continue;
        }
        let scripted = {
            let mut state = state.lock().ok()?;
            state.commands.push(command.to_owned());
            let mut replies = state.replies.iter();
            replies.find(|(beginning, _)| command.starts_with(*beginning)).map(|(_, reply)| reply.clone())
        };
        in_content = command == "DATA" && scripted.is_none();
        let reply = scripted.unwrap_or_else(|| {
            match command {
                "DATA" => "354 go ahead",
                "QUIT" => "221 2.0.0 bye",
                _ => "250 2.0.0 ok",
            }
            .to_owned()
        });
        stream.write_all(format!("{reply}\r\n").as_bytes()).await.ok()?;
    }
}
