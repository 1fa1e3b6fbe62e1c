//! The parser that `LATCHKEY_FUZZ_TARGET` names, under libFuzzer.

#![no_main]

use std::sync::LazyLock;

use latchkey_server::TARGETS;
use libfuzzer_sys::fuzz_target;

static PARSE: LazyLock<fn(&[u8])> = LazyLock::new(|| {
    let name = std::env::var("LATCHKEY_FUZZ_TARGET").unwrap_or_default();
    let target = TARGETS.iter().find(|(target, _)| *target == name);
    target.unwrap_or_else(|| panic!("LATCHKEY_FUZZ_TARGET names no target: {name:?}")).1
});

fuzz_target!(|data: &[u8]| PARSE(data));
