//! Proxies that authenticate each request at Latchkey, and an application behind them.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::process::{OnParentDeath, Process, free_port, temporary_folder};
use crate::{programs, wait};

/// An application that responds to every request with the request line and headers, as JSON. Dropping it stops it.
#[derive(Debug)]
pub struct EchoApplication {
    address: SocketAddr,
    serving: JoinHandle<()>,
}

impl EchoApplication {
    /// Starts one on a free port.
    pub async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let address = listener.local_addr().expect("the address just bound");
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream));
            }
        });
        Self { address, serving }
    }

    /// `127.0.0.1:<port>`
    pub fn authority(&self) -> String {
        self.address.to_string()
    }
}

impl Drop for EchoApplication {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn answer(stream: TcpStream) -> Option<()> {
    let mut lines = BufReader::new(stream).lines();
    let line = lines.next_line().await.ok()??;
    let mut headers = BTreeMap::<String, Vec<String>>::new();
    while let Some((name, value)) = lines.next_line().await.ok()??.split_once(':') {
        headers.entry(name.to_lowercase()).or_default().push(value.trim().to_owned());
    }
    // If it were not read, closing the connection could reset it, and a proxy could lose the response.
    let length = headers.get("content-length").and_then(|values| values[0].parse().ok()).unwrap_or(0);
    let mut stream = lines.into_inner();
    stream.read_exact(&mut vec![0; length]).await.ok()?;
    let body = json!({ "line": line, "headers": headers }).to_string();
    let head = format!("Content-Type: application/json\r\nContent-Length: {}\r\nX-Request-Id: -", body.len());
    let text = format!("HTTP/1.1 200 OK\r\n{head}\r\nConnection: close\r\n\r\n{body}");
    stream.write_all(text.as_bytes()).await.ok()
}

/// A running proxy. Dropping it stops it.
#[derive(Debug)]
pub struct Proxy {
    process: Process,
    _folder: TempDir,
    /// `http://127.0.0.1:<port>`
    pub url: String,
}

impl Proxy {
    /// Starts nginx with this `server` block, in which `listen 80` is replaced by a free port.
    pub async fn nginx(server: &str) -> Self {
        let folder = temporary_folder("nginx-");
        let port = free_port();
        let server = server.replace("listen 80;", &format!("listen 127.0.0.1:{port};"));
        let place = folder.path().display();
        let paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("{kind}_temp_path {place}/{kind};"))
            .join(" ");
        let text = format!(
            "daemon off; master_process off; error_log stderr warn; pid {place}/pid; events {{}}\n\
             http {{ access_log off; {paths}\n{server} }}"
        );
        let file = written(folder.path(), "nginx.conf", &text);
        let mut command = Command::new(programs::debian("nginx"));
        command.args(["-e", "stderr", "-p"]).arg(folder.path()).arg("-c").arg(file);
        Self::start(&command, folder, port).await
    }

    /// Starts Caddy with this site, in which `app.example.com` is replaced by a free port.
    pub async fn caddy(site: &str) -> Self {
        let folder = temporary_folder("caddy-");
        let port = free_port();
        let site = site.replace("app.example.com", &format!("http://127.0.0.1:{port}"));
        let text = format!("{{\n\tadmin off\n\tauto_https off\n}}\n{site}");
        let file = written(folder.path(), "Caddyfile", &text);
        let mut command = Command::new(programs::debian("caddy"));
        command.args(["run", "--adapter", "caddyfile", "--config"]).arg(file).env("HOME", folder.path());
        Self::start(&command, folder, port).await
    }

    /// Starts HAProxy with this configuration, in which `bind :80` is replaced by a free port, and `/etc/haproxy/latchkey.lua`
    /// by a file with this program.
    pub async fn haproxy(settings: &str, lua: &str) -> Self {
        let folder = temporary_folder("haproxy-");
        let port = free_port();
        let program = written(folder.path(), "latchkey.lua", lua);
        let text = settings
            .replace("bind :80", &format!("bind 127.0.0.1:{port}"))
            .replace("/etc/haproxy/latchkey.lua", &program.display().to_string());
        let file = written(folder.path(), "haproxy.cfg", &text);
        let mut command = Command::new(programs::debian("haproxy"));
        command.arg("-db").arg("-f").arg(file);
        Self::start(&command, folder, port).await
    }

    /// Starts Envoy with this bootstrap configuration, in which `address: 0.0.0.0, port_value: 80` is replaced by a free
    /// port.
    pub async fn envoy(program: &Path, settings: &str) -> Self {
        let folder = temporary_folder("envoy-");
        let port = free_port();
        let text = settings.replace(
            "address: 0.0.0.0, port_value: 80}",
            &format!("address: 127.0.0.1, port_value: {port}}}"),
        );
        let file = written(folder.path(), "envoy.yaml", &text);
        let mut command = Command::new(program);
        command.arg("-c").arg(file);
        command.args(["--disable-hot-restart", "--concurrency", "1", "--log-level", "warning"]);
        Self::start(&command, folder, port).await
    }

    /// Starts Traefik with these objects of kind Middleware, in this order, in front of the application at this address.
    pub async fn traefik(program: &Path, middlewares: &[Value], application: &str) -> Self {
        let folder = temporary_folder("traefik-");
        let port = free_port();
        let specs = middlewares.iter().map(|object| {
            (object["metadata"]["name"].as_str().expect("a name").to_owned(), object["spec"].clone())
        });
        let (names, specs): (Vec<_>, serde_json::Map<_, _>) =
            specs.map(|(name, spec)| (name.clone(), (name, spec))).unzip();
        let routes = json!({ "http": {
            "middlewares": specs,
            "routers": { "app": {
                "rule": "PathPrefix(`/`)", "entryPoints": ["web"], "middlewares": names, "service": "app",
            } },
            "services": { "app": { "loadBalancer": {
                "servers": [{ "url": format!("http://{application}") }],
            } } },
        } });
        let routes = written(folder.path(), "routes.yaml", &routes.to_string());
        let settings = json!({
            "global": { "checkNewVersion": false, "sendAnonymousUsage": false },
            "entryPoints": { "web": { "address": format!("127.0.0.1:{port}") } },
            "providers": { "file": { "filename": routes } },
        });
        let file = written(folder.path(), "traefik.yaml", &settings.to_string());
        let mut command = Command::new(program);
        command.arg(format!("--configFile={}", file.display()));
        let proxy = Self::start(&command, folder, port).await;
        wait::until("Traefik to know the route", async || {
            let status = reqwest::get(&proxy.url).await.map_err(|e| e.to_string())?.status();
            wait::check(status != 404, status.to_string())
        })
        .await;
        proxy
    }

    async fn start(command: &Command, folder: TempDir, port: u16) -> Self {
        let process = Process::start(command, OnParentDeath::Kill);
        let mut proxy = Self { process, _folder: folder, url: format!("http://127.0.0.1:{port}") };
        wait::until("the proxy to listen", || {
            let running = proxy.process.is_running();
            assert!(running, "the proxy ended: {:?}", proxy.process.stderr.all());
            TcpStream::connect(("127.0.0.1", port))
        })
        .await;
        proxy
    }
}

fn written(folder: &Path, name: &str, text: &str) -> std::path::PathBuf {
    let file = folder.join(name);
    fs::write(&file, text).expect("a configuration file");
    file
}
