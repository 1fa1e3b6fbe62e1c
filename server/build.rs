//! Compiles the common passwords into a finite-state transducer, which can be searched in place and has half the size
//! of the text.

use std::error::Error;
use std::path::Path;
use std::{env, fs};

fn main() -> Result<(), Box<dyn Error>> {
    let list = "data/common_passwords.txt";
    println!("cargo::rerun-if-changed={list}");
    // The macros that read templates and migrations track those files themselves.
    println!("cargo::rerun-if-changed=build.rs");
    link_compactly()?;
    let text = fs::read_to_string(list)?;
    // Fails if the list is not sorted.
    let set = fst::Set::from_iter(text.lines())?;
    let target = Path::new(&env::var("OUT_DIR")?).join("common_passwords.fst");
    fs::write(target, set.as_fst().as_bytes())?;
    Ok(())
}

/// Makes the program smaller, on disk and in memory: functions with the same code exist once, and relocations, all of which
/// the loader reads at startup, take a fraction of their size. Needs the linker that rustc brings with it on this platform,
/// and glibc 2.36.
fn link_compactly() -> Result<(), Box<dyn Error>> {
    if env::var("PROFILE")? == "release" && env::var("TARGET")? == "x86_64-unknown-linux-gnu" {
        println!("cargo::rustc-link-arg-bins=-Wl,--icf=all");
        println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
    Ok(())
}
