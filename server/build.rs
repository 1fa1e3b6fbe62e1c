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
    let text = fs::read_to_string(list)?;
    // Fails if the list is not sorted.
    let set = fst::Set::from_iter(text.lines())?;
    let target = Path::new(&env::var("OUT_DIR")?).join("common_passwords.fst");
    fs::write(target, set.as_fst().as_bytes())?;
    Ok(())
}
