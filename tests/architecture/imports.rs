//! Which module of a crate imports which, file by file, and whether they import each other in a cycle.
//!
//! A `mod.rs` that re-exports an item of its children does not import them: a path through it is followed to the file
//! that defines the item. So a facade hides no cycle, and makes none.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::sources::{code_of, rust_sources};

/// A module by its path below the crate's root; the root is empty.
type Module = Vec<String>;

/// The modules of a crate, each with those that it imports. Tests are left out.
pub struct Imports(BTreeMap<Module, BTreeSet<Module>>);

impl Imports {
    /// Reads the sources below `folder`, which is the `src` of a crate.
    pub fn of(folder: &str) -> Self {
        let sources = rust_sources(folder).into_iter().filter(|file| !file.ends_with("src/main.rs"));
        Self::between(sources.map(|file| (module_of(&file, folder), code_of(&file))).collect())
    }

    fn between(sources: Vec<(Module, String)>) -> Self {
        let mut sources: Vec<(Module, String)> =
            sources.into_iter().map(|(module, code)| (module, without_tests(&code))).collect();
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
        let sources: BTreeMap<Module, String> = sources.into_iter().collect();
        let modules = Modules::read(&sources);
        Self(sources.iter().map(|(module, code)| (module.clone(), modules.imported(module, code))).collect())
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

    /// The groups of modules that import each other in a cycle.
    pub fn cycles(&self) -> Vec<String> {
        let reachable: BTreeMap<&Module, BTreeSet<&Module>> =
            self.0.keys().map(|module| (module, self.reach(module))).collect();
        let mut found = BTreeSet::new();
        for (module, reached) in &reachable {
            let cycle: BTreeSet<String> = reached
                .iter()
                .filter(|other| reachable[*other].contains(module))
                .map(|m| m.join("::"))
                .collect();
            if !cycle.is_empty() {
                found.insert(cycle.into_iter().collect::<Vec<_>>().join(", "));
            }
        }
        found.into_iter().collect()
    }

    /// The modules that `from` imports, directly or through others.
    fn reach<'a>(&'a self, from: &Module) -> BTreeSet<&'a Module> {
        let mut reached = BTreeSet::new();
        let mut open: Vec<&Module> = self.0[from].iter().collect();
        while let Some(module) = open.pop() {
            if reached.insert(module) {
                open.extend(&self.0[module]);
            }
        }
        reached
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
fn module_of(file: &Path, folder: &str) -> Module {
    let inner = file.strip_prefix(folder).expect("a file of that folder").with_extension("");
    let mut module: Module = inner.iter().map(|part| part.to_string_lossy().into_owned()).collect();
    if module.last().is_some_and(|last| last == "mod") || module == ["lib"] {
        module.pop();
    }
    module
}

/// Unit tests are at the end of a file.
fn without_tests(code: &str) -> String {
    code.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default().to_owned()
}

/// The modules of a crate, each with the items that it re-exports and the paths that these have.
struct Modules(BTreeMap<Module, BTreeMap<String, Module>>);

impl Modules {
    fn read(sources: &BTreeMap<Module, String>) -> Self {
        let mut modules: BTreeMap<Module, BTreeMap<String, Module>> =
            sources.keys().map(|module| (module.clone(), BTreeMap::new())).collect();
        for (module, code) in sources {
            for tree in re_exports(code).0 {
                let first = tree.split("::").next().unwrap_or_default();
                let base = match first {
                    "crate" => Vec::new(),
                    "self" => module.clone(),
                    _ if sources.contains_key(&child(module, first)) => child(module, first),
                    _ => continue,
                };
                let mut paths = Vec::new();
                expand(base, tree.split_once("::").map_or("", |(_, rest)| rest), &mut paths);
                let items = modules.get_mut(module).expect("a module that was read");
                items.extend(paths.into_iter().filter_map(|path| Some((path.last()?.clone(), path))));
            }
        }
        Self(modules)
    }

    /// The modules that define what the code of `module` names.
    fn imported(&self, module: &Module, code: &str) -> BTreeSet<Module> {
        let code = re_exports(code).1;
        let mut paths = Vec::new();
        for (at, _) in code.match_indices("::") {
            let before = &code[..at];
            let start = before.rfind(|c: char| !(c.is_alphanumeric() || c == '_')).map_or(0, |end| end + 1);
            if before[..start].ends_with("::") {
                continue;
            }
            let base = match &before[start..] {
                "crate" => Vec::new(),
                "self" => module.clone(),
                "super" => module[..module.len().saturating_sub(1)].to_vec(),
                name if !name.is_empty() && self.0.contains_key(&child(module, name)) => child(module, name),
                _ => continue,
            };
            expand(base, &code[at + 2..], &mut paths);
        }
        let mut imported: BTreeSet<Module> = paths.iter().map(|path| self.definition(path, 0)).collect();
        imported.remove(module);
        // The root only lists the parts of the crate.
        imported.remove(&Vec::new());
        imported
    }

    /// The module that defines the item at `path`.
    fn definition(&self, path: &[String], followed: usize) -> Module {
        let mut module = Vec::new();
        for (at, name) in path.iter().enumerate() {
            let inner = child(&module, name);
            if self.0.contains_key(&inner) {
                module = inner;
                continue;
            }
            return match self.0.get(&module).and_then(|items| items.get(name)) {
                Some(target) if followed < 8 => {
                    self.definition(&[target, &path[at + 1..]].concat(), followed + 1)
                }
                _ => module,
            };
        }
        module
    }
}

fn child(module: &Module, name: &str) -> Module {
    module.iter().cloned().chain([name.to_owned()]).collect()
}

/// The trees of `pub use …;` and `pub(…) use …;`, and the code without them.
fn re_exports(code: &str) -> (Vec<String>, String) {
    let (mut trees, mut others) = (Vec::new(), String::new());
    let mut rest = code;
    while let Some(at) = rest.find("use ") {
        let (before, tree) = (rest[..at].trim_end(), &rest[at + 4..]);
        let end = tree.find(';').unwrap_or(tree.len());
        let visibility = before.rfind("pub").map(|start| before[start + 3..].trim());
        let public = visibility.is_some_and(|scope| {
            scope.is_empty() || (scope.starts_with('(') && scope.find(')') == Some(scope.len() - 1))
        });
        if public {
            trees.push(tree[..end].trim().to_owned());
            others.push_str(before);
            rest = &tree[end..];
        } else {
            others.push_str(&rest[..at + 4]);
            rest = tree;
        }
    }
    others.push_str(rest);
    (trees, others)
}

/// Follows a path, and every branch of a group (`a::{b, c::d}`), from what stands after its first `::`.
fn expand(mut base: Module, rest: &str, found: &mut Vec<Module>) {
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
        let sources = sources.iter().map(|(path, code)| (module(path), (*code).to_owned()));
        Imports::between(sources.collect()).cycles()
    }

    #[test]
    fn a_cycle_is_found_through_groups_parents_and_children() {
        let a = ("a", "mod b;\nfn f() { b::g() }\npub struct Type;");
        assert_eq!(cycles(&[a, ("a::b", "use crate::c::{self, d};"), ("c", "")]), [""; 0]);
        assert_eq!(cycles(&[a, ("a::b", "use super::{Type, other};")]), ["a, a::b"]);
        let through_group = [a, ("a::b", "use crate::{c::{x, y}, d};"), ("c", "use crate::a::Type;")];
        assert_eq!(cycles(&through_group), ["a, a::b, c"]);
    }

    #[test]
    fn a_cycle_is_found_through_a_facade() {
        let facade = ("a", "mod b;\nmod c;\npub use b::{B, x};\npub(crate) use c::C;\npub struct A;");
        let b = ("a::b", "use super::{A, C};");
        assert_eq!(cycles(&[facade, b, ("a::c", "use super::A;")]), [""; 0]);
        assert_eq!(cycles(&[facade, b, ("a::c", "use crate::{a::{A, B}, d};"), ("d", "")]), ["a::b, a::c"]);
        assert_eq!(cycles(&[facade, b, ("a::c", "fn f() { super::x(); }")]), ["a::b, a::c"]);
    }

    #[test]
    fn a_parent_that_uses_a_child_is_not_imported_by_it() {
        let parent = ("a", "mod b;\nuse b::B;\npub struct A;");
        assert_eq!(cycles(&[parent, ("a::b", "pub struct B;")]), [""; 0]);
        assert_eq!(cycles(&[parent, ("a::b", "use super::A;")]), ["a, a::b"]);
    }

    #[test]
    fn tests_are_left_out() {
        let a = ("a", "mod b;\n#[cfg(test)]\nmod c;\nuse b::X;\n");
        let b = ("a::b", "struct X;\n#[cfg(test)]\nmod tests {\nuse crate::a::Y;\n}");
        assert_eq!(cycles(&[a, b, ("a::c", "use super::*;")]), [""; 0]);
    }
}
