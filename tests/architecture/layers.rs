//! Which module of a crate may use which.

use std::path::{Path, PathBuf};

use crate::imports::Imports;
use crate::sources::{code_of, mentions_crate, names_after, rust_sources};

/// The first part of a path below `folder`: `http` for `server/src/http/auth/login.rs`, `app` for `app.rs`.
fn module_of(file: &Path, folder: &str) -> String {
    let inner = file.strip_prefix(folder).expect("a file of that folder");
    inner.with_extension("").iter().next().expect("a file").to_string_lossy().into_owned()
}

const SERVER: &str = "server/src";
const OPERATOR: &str = "operator/src";
const PLUGIN: &str = "plugin/src";

#[track_caller]
fn assert_none(what: &str, offenders: &[String]) {
    assert!(offenders.is_empty(), "{what}:\n{}", offenders.join("\n"));
}

#[test]
fn in_the_server_nothing_looks_upwards() {
    // http -> service -> {store, revocation, limits, crypto, mail} -> domain
    let above = |module: &str| -> &[&str] {
        match module {
            "service" => &["http", "app", "commands"],
            "store" | "revocation" | "limits" | "redis_connection" | "crypto" | "mail"
            | "client_registry" | "token_review" => &["http", "service", "app", "commands"],
            "http" => &["app", "commands"],
            "commands" => &["http", "app"],
            _ => &[],
        }
    };
    let mut offenders = Vec::new();
    for file in rust_sources(SERVER) {
        let module = module_of(&file, SERVER);
        for used in names_after(&code_of(&file), "crate::") {
            let domain_leaves_home = module == "domain" && used != "domain";
            if domain_leaves_home || above(&module).contains(&used.as_str()) {
                offenders.push(format!("{} uses crate::{used}", file.display()));
            }
        }
    }
    assert_none(
        "the direction is http -> service -> {store, revocation, limits, crypto, mail} -> domain",
        &offenders,
    );
}

#[test]
fn the_server_has_no_import_cycle() {
    assert_none("these modules of the server import each other", &Imports::of(SERVER).cycles());
}

#[test]
fn the_servers_domain_is_pure() {
    let mut offenders = Vec::new();
    for file in rust_sources("server/src/domain") {
        let code = code_of(&file);
        for name in ["tokio", "axum", "reqwest", "sqlx", "redis", "aws_lc_rs", "tracing"] {
            if mentions_crate(&code, name) {
                offenders.push(format!("{} uses {name}", file.display()));
            }
        }
        for call in [
            "SystemTime::now",
            "Instant::now",
            "Utc::now",
            "new_v4",
            "now_v7",
            "async fn",
            "std::fs",
            "std::env",
        ] {
            if code.contains(call) {
                offenders
                    .push(format!("{} has {call}: time and randomness come in as arguments", file.display()));
            }
        }
    }
    assert_none("the domain does no I/O and asks neither the clock nor the dice", &offenders);
}

/// The files of the server that name a crate outside the modules that own it.
fn strangers_to(owners: &[&str], name: &str) -> Vec<String> {
    let sources = rust_sources(SERVER).into_iter();
    let outside = sources.filter(|file| !owners.contains(&module_of(file, SERVER).as_str()));
    let offenders = outside.filter(|file| mentions_crate(&code_of(file), name));
    offenders.map(|file| format!("{} uses {name}", file.display())).collect()
}

#[test]
fn each_dependency_of_the_server_has_its_owners() {
    let redis: [&str; 3] = ["redis_connection", "revocation", "limits"];
    for (owners, name) in [(&["store"][..], "sqlx"), (&redis, "redis"), (&["http"], "axum_extra")] {
        assert_none(&format!("only {} know {name}", owners.join(", ")), &strangers_to(owners, name));
    }
}

/// Use cases that assert nothing: a logout ends its own session, whatever has become of it, and the others make the
/// proof that is asserted again.
const NOTHING_TO_ASSERT: [&str; 3] = ["logout", "require_superuser", "require_permission"];

#[test]
fn what_is_done_on_behalf_of_an_account_asserts_its_right_in_the_store() {
    let mut use_cases = 0;
    let mut offenders = Vec::new();
    for file in rust_sources("server/src/service") {
        for function in code_of(&file).split("pub async fn ").skip(1) {
            let (name, rest) = function.split_once('(').expect("the arguments of a function");
            let arguments = rest.split_once("->").map_or(rest, |(arguments, _)| arguments);
            let acts = ["Authenticated,", "Principal,", "Superuser,", "Permitted,", "TokenClient,"];
            if !acts.iter().any(|kind| arguments.contains(kind)) || NOTHING_TO_ASSERT.contains(&name) {
                continue;
            }
            use_cases += 1;
            if ![".actor()", ".administrator()", ".assert("].iter().any(|call| rest.contains(call)) {
                offenders.push(format!("{name} in {}", file.display()));
            }
        }
    }
    assert!(use_cases >= 25, "only {use_cases} use cases were found");
    assert_none("time passes after a token is checked: the store asserts the right again", &offenders);
}

#[test]
fn axum_ends_where_the_service_begins() {
    // `app` binds the routers to sockets, `telemetry` reads a header of the request it traces.
    let mut offenders = strangers_to(&["http"], "axum");
    offenders.retain(|offender| {
        !["server/src/app.rs ", "server/src/telemetry.rs "].iter().any(|file| offender.starts_with(file))
    });
    assert_none("only http/ knows axum", &offenders);
}

#[test]
fn in_the_operator_only_few_see_a_client() {
    // What starts the operator hands the client on; nothing else touches it.
    let wiring = [
        "main.rs",
        "run.rs",
        "cluster/clients.rs",
        "cluster/list_watch.rs",
        "cluster/named_reads.rs",
        "cluster/optional_kinds.rs",
        "cluster/watches.rs",
        "controller/leader.rs",
        "auth_client/context.rs",
        "auth_service/context.rs",
    ];
    let acting = [
        "auth_client/dereference",
        "auth_client/apply",
        "auth_client/status",
        "auth_service/dereference",
        "auth_service/apply",
        "auth_service/status",
    ];
    let may = |file: &PathBuf| {
        let inner = file.strip_prefix(OPERATOR).expect("a file of that folder");
        let path = inner.with_extension("").to_string_lossy().into_owned();
        wiring.iter().any(|name| inner == Path::new(name))
            || acting.iter().any(|part| path == *part || path.starts_with(&format!("{part}/")))
    };
    let mut offenders = Vec::new();
    for file in rust_sources(OPERATOR).into_iter().filter(|file| !may(file)) {
        let code = code_of(&file);
        let kube = names_after(&code, "kube::");
        let api = names_after(&code, "kube::api::");
        for name in ["Client", "Api"] {
            if kube.contains(name) || api.contains(name) {
                offenders.push(format!("{} uses kube's {name}", file.display()));
            }
        }
    }
    assert_none("only dereference, apply and status, and what wires them, see a client", &offenders);
}

#[test]
fn what_the_operator_renders_and_decides_is_pure() {
    let mut offenders = Vec::new();
    let pure = [
        "operator/src/auth_service/render",
        "operator/src/auth_service/validate",
        "operator/src/auth_client/decide",
        "operator/src/registrations",
        "operator/src/signing_keys",
    ];
    for file in pure.iter().flat_map(|folder| rust_sources(folder)) {
        let code = code_of(&file);
        for call in [
            "async fn",
            "SystemTime::now",
            "Instant::now",
            "Timestamp::now",
            "Utc::now",
            "std::fs",
            "std::env",
        ] {
            if code.contains(call) {
                offenders.push(format!("{} has {call}", file.display()));
            }
        }
        for name in ["tokio", "reqwest", "axum"] {
            if mentions_crate(&code, name) {
                offenders.push(format!("{} uses {name}", file.display()));
            }
        }
    }
    assert_none("render and decide_* do no I/O and read no clock", &offenders);
}

#[test]
fn the_operator_has_no_import_cycle() {
    let imports = Imports::of(OPERATOR);
    assert_none("modules of the operator import each other in a cycle", &imports.cycles());
    assert_none("parts of the operator import each other in a cycle", &imports.between_parts().cycles());
}

#[test]
fn the_plugin_has_no_import_cycle_and_its_redaction_is_pure() {
    let imports = Imports::of(PLUGIN);
    assert_none("modules of the plugin import each other in a cycle", &imports.cycles());
    let mut offenders = Vec::new();
    for file in
        ["redact.rs", "text.rs", "known.rs"].map(|name| PathBuf::from(format!("{PLUGIN}/bundle/{name}")))
    {
        let code = code_of(&file);
        for name in ["kube", "tokio"] {
            if mentions_crate(&code, name) {
                offenders.push(format!("{} uses {name}", file.display()));
            }
        }
    }
    assert_none("what removes secrets does no I/O", &offenders);
}

#[test]
fn the_verifier_has_no_import_cycle() {
    assert_none(
        "modules of the verifier import each other in a cycle",
        &Imports::of("verifier/src").cycles(),
    );
}

#[test]
fn in_the_operator_only_the_wiring_knows_the_reconciler() {
    let imports = Imports::of(OPERATOR);
    for part in [
        "cluster",
        "controller",
        "metrics",
        "registrations",
        "signing_keys",
        "names",
        "credentials",
        "fingerprint",
    ] {
        for reconciler in ["auth_service", "auth_client"] {
            let known = imports.crossing(part, reconciler);
            assert_none(&format!("{part} does not know the reconciler"), &known);
        }
    }
    let known = imports.crossing("auth_service", "auth_client");
    assert_none("the reconcilers meet in `registrations`", &known);
    assert_none("the cache does not know the controller", &imports.crossing("cluster", "controller"));
    assert!(!imports.crossing("run", "auth_service").is_empty(), "run.rs wires the reconciler in");
}
