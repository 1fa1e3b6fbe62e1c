//! The programs of docs/how-to/verify-tokens-offline.md, word for word: what they accept and refuse, as the page's rules for
//! readers say.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _, Seek as _, Write as _};
use std::process::{Child, ChildStdout, Command, Stdio};

use chrono::Utc;
use latchkey_tests::app::App;
use latchkey_tests::clients_file::TestClient;
use latchkey_tests::forged_tokens::{Forged, claim};
use latchkey_tests::process::{build, free_port};
use latchkey_tests::programs::workspace;
use latchkey_tests::{documentation, key_set, wait};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::verifiers::prepared;

const PAGE: &str = "docs/how-to/verify-tokens-offline.md";

/// Reads the settings and tokens, a line for each. For each token it waits until the verifier has the given opinion.
const PYTHON: &str = r#"
import json, sys
answers, sys.stdout = sys.stdout, sys.stderr
settings = json.loads(sys.stdin.readline())
client = (settings["client"], settings["secret"])
verifier = Verifier(settings["issuer"], settings["audience"], client, settings["max_staleness"])
for line in sys.stdin:
    expected, token = line.split()
    for _ in range(200):
        try:
            verifier.check(token)
            found = "accepted"
        except Stale:
            found = "stale"
        except jwt.PyJWTError:
            found = "refused"
        if found == expected:
            break
        time.sleep(0.1)
    print(found, file=answers, flush=True)
"#;
const NODE: &str = r"
import { createInterface } from 'node:readline'
let check
for await (const line of createInterface({ input: process.stdin })) {
  if (!check) {
    const { issuer, audience, client, secret, max_staleness: maxStaleness } = JSON.parse(line)
    check = createVerifier({ issuer, audience, clientId: client, clientSecret: secret, maxStaleness })
    continue
  }
  const [expected, token] = line.split(' ')
  let found
  for (let n = 0; n < 200 && found !== expected; n++) {
    if (found) await new Promise(resolve => setTimeout(resolve, 100))
    found = await check(token).then(() => 'accepted', error => (error.message === 'stale' ? 'stale' : 'refused'))
  }
  console.log(found)
}
process.exit()
";
const GO: &str = r#"package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"
	"strings"
	"time"
)

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Scan()
	var settings struct {
		Issuer, Audience, Client, Secret string
		MaxStaleness                     int `json:"max_staleness"`
	}
	if err := json.Unmarshal(lines.Bytes(), &settings); err != nil {
		log.Fatal(err)
	}
	ctx, staleness := context.Background(), time.Duration(settings.MaxStaleness)*time.Second
	verifier := NewVerifier(ctx, settings.Issuer, settings.Audience, settings.Client, settings.Secret, staleness)
	for lines.Scan() {
		expected, token, _ := strings.Cut(lines.Text(), " ")
		found := "accepted"
		for range 200 {
			found = "accepted"
			if _, err := verifier.Check(ctx, token); errors.Is(err, ErrStale) {
				found = "stale"
			} else if err != nil {
				found = "refused"
			}
			if found == expected {
				break
			}
			time.Sleep(100 * time.Millisecond)
		}
		fmt.Println(found)
	}
}
"#;
const JAVA: &str = r#"
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.time.Duration;
import java.time.Instant;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.locks.LockSupport;
import java.util.stream.Stream;

import com.nimbusds.jose.util.JSONObjectUtils;
import org.springframework.core.ParameterizedTypeReference;
import org.springframework.http.MediaType;
import org.springframework.http.client.JdkClientHttpRequestFactory;
import org.springframework.security.oauth2.core.OAuth2Error;
import org.springframework.security.oauth2.core.OAuth2TokenValidator;
import org.springframework.security.oauth2.core.OAuth2TokenValidatorResult;
import org.springframework.security.oauth2.jose.jws.SignatureAlgorithm;
import org.springframework.security.oauth2.jwt.BadJwtException;
import org.springframework.security.oauth2.jwt.Jwt;
import org.springframework.security.oauth2.jwt.JwtClaimValidator;
import org.springframework.security.oauth2.jwt.JwtDecoder;
import org.springframework.security.oauth2.jwt.JwtValidationException;
import org.springframework.security.oauth2.jwt.JwtValidators;
import org.springframework.security.oauth2.jwt.NimbusJwtDecoder;
import org.springframework.web.client.HttpClientErrorException;
import org.springframework.web.client.RestClient;

class Offline {
    static RevocationFeed feed;

    public static void main(String[] arguments) throws Exception {
        var lines = new BufferedReader(new InputStreamReader(System.in));
        Map<String, Object> settings = JSONObjectUtils.parse(lines.readLine());
        String issuer = (String) settings.get("issuer");
        var staleness = Duration.ofSeconds(((Number) settings.get("max_staleness")).longValue());
        feed = new RevocationFeed(issuer, (String) settings.get("client"), (String) settings.get("secret"), staleness);
        String audience = (String) settings.get("audience");
        JwtDecoder decoder = jwtDecoder(issuer + "/.well-known/jwks.json", issuer, audience, SignatureAlgorithm.ES256);
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            String[] words = line.split(" ");
            String found = outcome(decoder, words[1]);
            for (int n = 0; n < 200 && !found.equals(words[0]); n++) {
                Thread.sleep(100);
                found = outcome(decoder, words[1]);
            }
            System.out.println(found);
        }
    }

    static String outcome(JwtDecoder decoder, String token) {
        try {
            decoder.decode(token);
            return "accepted";
        } catch (JwtValidationException refusal) {
            return refusal.getErrors().contains(RevocationFeed.STALE) ? "stale" : "refused";
        } catch (BadJwtException refusal) {
            return "refused";
        }
    }

    static "#;
/// What the page adds to the decoder of another page.
const VALIDATOR: &str = r#".validators(all -> all.put("revoked", feed))"#;
/// More revocations than fit into a page of the feed.
const MANY: &str = "INSERT INTO revocations (session_id, expires_at)
    SELECT gen_random_uuid(), now() + interval '1 day' FROM generate_series(1, 1500)";
/// As for an account with very many sessions: all have ended but this one.
const CUT_OFF: &str = "INSERT INTO session_cutoffs (user_id, cutoff, kept_session_id)
    SELECT user_id, now(), id FROM sessions WHERE id::text = $1";
/// As after the database was restored.
const RESTORE: &str =
    "UPDATE revocation_state SET tokens_valid_from = date_trunc('second', now()) + interval '1 second'";

/// The first fenced block of this language.
fn documented(page: &str, language: &str) -> String {
    let page = documentation::read(page);
    let (_, rest) = page.split_once(&format!("```{language}\n")).expect("a block of this language");
    rest.split_once("```").expect("its end").0.to_owned()
}

struct Program {
    child: Child,
    log: File,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let mut log = String::new();
            let _ = self.log.rewind().and_then(|()| self.log.read_to_string(&mut log));
            #[expect(clippy::print_stderr, reason = "the test harness shows it with the failure")]
            {
                eprintln!("--- log of the program:\n{log}");
            }
        }
    }
}

impl Program {
    fn start(command: &mut Command, settings: &Value) -> Self {
        let log = tempfile::tempfile().unwrap();
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log.try_clone().unwrap());
        let mut child = command.spawn().expect("the program");
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut program = Self { child, log, lines };
        program.write(&settings.to_string());
        program
    }

    fn write(&mut self, line: &str) {
        writeln!(self.child.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    #[track_caller]
    fn assert_finds(&mut self, expected: &str, why: &str, token: &str) {
        self.write(&format!("{expected} {token}"));
        assert_eq!(self.lines.next().expect("a line").unwrap(), expected, "{why}");
    }
}

/// Tokens that no verifier accepts whatever the feed says, and one that it accepts unless an id of its grant is listed.
fn forged(token: &str, listed: &Value) -> Vec<(&'static str, &'static str, String)> {
    let (pattern, key) = (Forged::from_token(token), key_set::of_this_process());
    let issued = claim(token, "iat").as_i64().unwrap();
    let after = |id: Value| pattern.clone().claim("prior_creds", json!([Uuid::new_v4(), id])).sign(key);
    vec![
        ("refused", "another's key", pattern.clone().sign(&key_set::generate("ES256"))),
        ("refused", "another audience", pattern.clone().claim("aud", "https://other.test").sign(key)),
        ("refused", "another issuer", pattern.clone().claim("iss", "https://other.test").sign(key)),
        ("refused", "expired", pattern.clone().claim("exp", issued - 600).sign(key)),
        ("refused", "for a revoked credential", pattern.clone().claim("cred", listed.clone()).sign(key)),
        ("accepted", "after a valid credential", after(json!(Uuid::new_v4()))),
        ("refused", "after a revoked credential", after(listed.clone())),
    ]
}

async fn assert_follows_the_rules(command: &mut Command) {
    let client = TestClient::new("gateway", &["revocations.read"]);
    let address = format!("127.0.0.1:{}", free_port());
    let issuer = format!("http://{address}");
    let setup = App::setup().set("LISTEN_ADDR", &address).set("ISSUER_URL", &issuer);
    let mut app = setup.clients(std::slice::from_ref(&client)).start().await;
    let (user, before) = app.new_session("before").await;
    let (last_before, during) = (app.log_in(&user).await, app.log_in(&user).await);
    // Between them, so that one is in the first page of the feed and the other in the last one.
    app.log_out(&before).await.ok(200);
    app.database.execute(MANY).await;
    app.log_out(&last_before).await.ok(200);

    let settings = json!({
        "issuer": issuer, "audience": issuer, "client": client.id, "secret": client.secret,
        // Seconds: the test waits for them at its end.
        "max_staleness": 6,
    });
    let mut program = Program::start(command, &settings);
    program.assert_finds("accepted", "a session", &during.access);
    program.assert_finds("refused", "a session that ended before", &before.access);
    program.assert_finds("refused", "a session that ended shortly before", &last_before.access);
    program.assert_finds("refused", "a refresh token", &during.refresh);
    for (expected, why, token) in forged(&during.access, &claim(&before.access, "sid")) {
        program.assert_finds(expected, why, &token);
    }
    app.log_out(&during).await.ok(200);
    program.assert_finds("refused", "a session that ended meanwhile", &during.access);

    let (many, ended) = app.new_session("many").await;
    let kept = app.log_in(&many).await;
    // While they are locked, they are not ended one by one.
    let locked = app.database.begin("SELECT FROM sessions FOR UPDATE").await;
    app.database.execute_for(CUT_OFF, claim(&kept.access, "sid").as_str().unwrap()).await;
    program.assert_finds("refused", "a session of an account with a cutoff", &ended.access);
    program.assert_finds("accepted", "the session that was kept", &kept.access);
    drop(locked);

    app.database.execute(RESTORE).await;
    let restored = Utc::now().timestamp();
    program.assert_finds("refused", "a token of the database before", &kept.access);
    wait::until("the next second", async || {
        let now = Utc::now().timestamp();
        wait::check(now > restored, now)
    })
    .await;
    let (after, last) = (app.log_in(&user).await, app.log_in(&user).await);
    program.assert_finds("accepted", "a token of the restored database", &after.access);
    app.log_out(&after).await.ok(200);
    program.assert_finds("refused", "a session that ended afterwards", &after.access);
    program.assert_finds("accepted", "the last session", &last.access);
    app.servers[0].stop().await;
    program.assert_finds("stale", "the feed is silent", &last.access);
}

#[tokio::test]
async fn python() {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("verifier.py");
    fs::write(&script, documented(PAGE, "python") + PYTHON).unwrap();
    assert_follows_the_rules(Command::new(prepared("python").join("bin/python")).arg(script)).await;
}

#[tokio::test]
async fn node() {
    let folder = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(prepared("node").join("node_modules"), folder.path().join("node_modules"))
        .unwrap();
    let script = folder.path().join("verifier.mjs");
    fs::write(&script, documented(PAGE, "js") + NODE).unwrap();
    assert_follows_the_rules(Command::new("node").arg(script)).await;
}

#[tokio::test]
async fn go() {
    let folder = tempfile::tempdir().unwrap();
    let modules = workspace().join("tests/programs/go");
    for file in ["go.mod", "go.sum"] {
        fs::copy(modules.join(file), folder.path().join(file)).unwrap();
    }
    fs::write(folder.path().join("main.go"), GO).unwrap();
    fs::write(folder.path().join("verifier.go"), format!("package main\n\n{}", documented(PAGE, "go")))
        .unwrap();
    // The build cache of that script is beside its programs.
    let cache = prepared("go").ancestors().nth(2).unwrap().join("go-build");
    let mut go = Command::new("go");
    go.args(["build", "-mod=readonly", "-buildvcs=false", "-trimpath", "-o", "verifier", "."]);
    build(go.current_dir(folder.path()).env("CGO_ENABLED", "0").env("GOCACHE", cache));
    assert_follows_the_rules(&mut Command::new(folder.path().join("verifier"))).await;
}

#[tokio::test]
async fn java() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("Offline.java");
    assert!(documentation::read(PAGE).contains(VALIDATOR));
    let decoder = documented("docs/how-to/verify-access-tokens.md", "java");
    let (before, after) = decoder.split_once(".validators(").unwrap();
    let decoder = format!("{before}{VALIDATOR}.validators({after}");
    fs::write(&source, format!("{JAVA}{decoder}}}\n{}", documented(PAGE, "java"))).unwrap();
    let mut java = Command::new("java");
    assert_follows_the_rules(java.arg("-cp").arg(prepared("java").join("lib/*")).arg(source)).await;
}
