//! Which module of a crate imports which, file by file, and whether they import each other in a cycle.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::sources::{code_of, rust_sources};

/// A module by its path below the crate's root; the root is empty.
pub type Module = Vec<String>;

/// The modules of a crate, each with those that it imports. Tests are left out.
pub struct Imports(BTreeMap<Module, BTreeSet<Module>>);

impl Imports {
    /// Reads the sources below `folder`, which is the `src` of a crate.
    pub fn of(folder: &str) -> Self {
        let sources: Vec<(Module, String)> = rust_sources(folder)
            .iter()
            .filter(|file| !file.ends_with("src/main.rs"))
            .map(|file| (module_of(file, folder), without_tests(&code_of(file))))
            .collect();
        Self::between(sources)
    }

    fn between(mut sources: Vec<(Module, String)>) -> Self {
        let is_test = |module: &Module, sources: &[(Module, String)]| {
            let Some((name, parent)) = module.split_last() else { return false };
            let declaration = format!("mod {name};");
            sources.iter().any(|(other, code)| {
                other == parent
                    && code
                        .match_indices(&declaration)
                        .any(|(at, _)| code[..at].trim_end().ends_with("#[cfg(test)]"))
            })
        };
        let tests: BTreeSet<Module> = sources
            .iter()
            .map(|(module, _)| module)
            .filter(|module| is_test(module, &sources))
            .cloned()
            .collect();
        sources.retain(|(module, _)| !tests.contains(module));
        let modules: BTreeSet<Module> = sources.iter().map(|(module, _)| module.clone()).collect();
        let imports = sources.iter().map(|(module, code)| {
            let used = paths(module, code, &modules);
            let mut used: BTreeSet<Module> =
                used.into_iter().filter_map(|path| longest(path, &modules)).collect();
            used.remove(module);
            (module.clone(), used)
        });
        Self(imports.collect())
    }

    /// The same between the parts of a crate: the modules directly below its root.
    pub fn between_parts(&self) -> Self {
        let part = |module: &Module| module.iter().take(1).cloned().collect::<Module>();
        let mut parts: BTreeMap<Module, BTreeSet<Module>> = BTreeMap::new();
        for (module, used) in &self.0 {
            let own = part(module);
            let others = used.iter().map(part).filter(|other| *other != own);
            parts.entry(own.clone()).or_default().extend(others);
        }
        Self(parts)
    }

    /// The modules that import each other in a cycle, or lie between two cycles.
    pub fn in_cycles(&self) -> Vec<String> {
        let mut left = self.0.clone();
        loop {
            let imported: BTreeSet<Module> = left.values().flatten().cloned().collect();
            let before = left.len();
            left.retain(|module, used| !used.is_empty() && imported.contains(module));
            let there: BTreeSet<Module> = left.keys().cloned().collect();
            for used in left.values_mut() {
                used.retain(|module| there.contains(module));
            }
            if left.len() == before {
                return left
                    .iter()
                    .map(|(module, used)| {
                        let used: Vec<String> = used.iter().map(|module| module.join("::")).collect();
                        format!("{} imports {}", module.join("::"), used.join(", "))
                    })
                    .collect();
            }
        }
    }

    /// The imports that lead from a module below `from` to one below `to`.
    pub fn crossing(&self, from: &str, to: &str) -> Vec<String> {
        let below = |module: &Module, part: &str| module.first().is_some_and(|first| first == part);
        let importing = self.0.iter().filter(|(module, _)| below(module, from));
        importing
            .flat_map(|(module, used)| {
                let used = used.iter().filter(|other| below(other, to));
                used.map(|other| format!("{} imports {}", module.join("::"), other.join("::")))
            })
            .collect()
    }
}

/// The module that a file below `folder`, the `src` of a crate, contains.
pub fn module_of(file: &Path, folder: &str) -> Module {
    let inner = file.strip_prefix(folder).expect("a file of that folder").with_extension("");
    let mut module: Module = inner.iter().map(|part| part.to_string_lossy().into_owned()).collect();
    if module.last().is_some_and(|last| last == "mod") || module == ["lib"] {
        module.pop();
    }
    module
}

/// Unit tests are at the end of a file.
pub fn without_tests(code: &str) -> String {
    code.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default().to_owned()
}

/// The longest beginning of a path that is a module; the rest names what it holds.
fn longest(mut path: Module, modules: &BTreeSet<Module>) -> Option<Module> {
    loop {
        if modules.contains(&path) {
            return Some(path);
        }
        path.pop()?;
    }
}

/// All paths in a module's code that start in its own crate, from the root.
fn paths(module: &Module, code: &str, modules: &BTreeSet<Module>) -> Vec<Module> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("::") {
        let name: String =
            code[..at].chars().rev().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        let name: String = name.chars().rev().collect();
        let start = at - name.len();
        if code[..start].ends_with("::") {
            continue;
        }
        let child = module.iter().cloned().chain([name.clone()]).collect::<Module>();
        let base = match name.as_str() {
            "crate" => Module::new(),
            "self" => module.clone(),
            "super" => module[..module.len().saturating_sub(1)].to_vec(),
            _ if modules.contains(&child) => child,
            _ => continue,
        };
        expand(base, &code[at + 2..], &mut found);
    }
    found
}

/// Follows a path, and every branch of a group (`a::{b, c::d}`), from what stands after its first `::`.
pub fn expand(mut base: Module, rest: &str, found: &mut Vec<Module>) {
    let rest = rest.trim_start();
    if let Some(group) = rest.strip_prefix('{') {
        let (mut depth, mut start) = (0, 0);
        for (at, character) in group.char_indices() {
            match character {
                '{' => depth += 1,
                '}' if depth > 0 => depth -= 1,
                ',' | '}' if depth == 0 => {
                    expand(base.clone(), &group[start..at], found);
                    start = at + 1;
                    if character == '}' {
                        return;
                    }
                }
                _ => {}
            }
        }
        return;
    }
    let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    match name.as_str() {
        "" | "self" => {}
        "super" => drop(base.pop()),
        _ => base.push(name.clone()),
    }
    match rest[name.len()..].strip_prefix("::") {
        Some(rest) if !name.is_empty() => expand(base, rest, found),
        _ => found.push(base),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cycles(sources: &[(&str, &str)]) -> Vec<String> {
        let module =
            |path: &str| path.split("::").filter(|part| !part.is_empty()).map(str::to_owned).collect();
        let sources = sources.iter().map(|(path, code)| (module(path), without_tests(code)));
        Imports::between(sources.collect()).in_cycles()
    }

    #[test]
    fn a_cycle_is_found_through_groups_parents_and_children() {
        let a = ("a", "mod b;\nfn f() { b::g() }");
        assert_eq!(cycles(&[a, ("a::b", "use crate::c::{self, d};"), ("c", "")]), [""; 0]);
        let through_parent = cycles(&[a, ("a::b", "use super::{Type, other};")]);
        assert_eq!(through_parent, ["a imports a::b", "a::b imports a"]);
        let through_group =
            cycles(&[a, ("a::b", "use crate::{c::{x, y}, d};"), ("c", "use crate::a::Type;")]);
        assert_eq!(through_group.len(), 3, "{through_group:?}");
    }

    #[test]
    fn tests_are_left_out() {
        let a = ("a", "mod b;\n#[cfg(test)]\nmod c;\nuse b::X;\n");
        let b = ("a::b", "struct X;\n#[cfg(test)]\nmod tests {\nuse crate::a::Y;\n}");
        assert_eq!(cycles(&[a, b, ("a::c", "use super::*;")]), [""; 0]);
    }
}
