//! Import cycles between the modules of a crate.
//!
//! A `mod.rs` that re-exports an item of its children does not import them: a path through it is followed to the file
//! that defines the item. So a facade hides no cycle, and makes none.

use std::collections::{BTreeMap, BTreeSet};

use crate::imports::{Module, expand, module_of, without_tests};
use crate::sources::{code_of, rust_sources};

/// The groups of modules below `folder`, the `src` of a crate, that import each other in a cycle. Unit tests are left
/// out.
pub fn import_cycles(folder: &str) -> Vec<String> {
    let sources = rust_sources(folder).into_iter().filter(|file| !file.ends_with("src/main.rs"));
    let sources = sources.map(|file| (module_of(&file, folder), without_tests(&code_of(&file))));
    cycles(&sources.collect())
}

fn cycles(sources: &BTreeMap<Module, String>) -> Vec<String> {
    let modules = Modules::read(sources);
    let imports: BTreeMap<&Module, BTreeSet<Module>> =
        sources.iter().map(|(module, code)| (module, modules.imported(module, code))).collect();
    let reachable: BTreeMap<&Module, BTreeSet<&Module>> =
        sources.keys().map(|module| (module, reach(module, &imports))).collect();
    let mut found = BTreeSet::new();
    for (module, reached) in &reachable {
        let circle: BTreeSet<String> =
            reached.iter().filter(|other| reachable[*other].contains(module)).map(|m| m.join("::")).collect();
        if !circle.is_empty() {
            found.insert(circle.into_iter().collect::<Vec<_>>().join(", "));
        }
    }
    found.into_iter().collect()
}

/// The modules that `from` imports, directly or through others.
fn reach<'a>(from: &Module, imports: &'a BTreeMap<&Module, BTreeSet<Module>>) -> BTreeSet<&'a Module> {
    let mut reached = BTreeSet::new();
    let mut open: Vec<&Module> = imports[from].iter().collect();
    while let Some(module) = open.pop() {
        if reached.insert(module) {
            open.extend(&imports[module]);
        }
    }
    reached
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
            return match self.0[&module].get(name) {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn found(sources: &[(&str, &str)]) -> Vec<String> {
        let module =
            |path: &str| path.split("::").filter(|part| !part.is_empty()).map(str::to_owned).collect();
        cycles(&sources.iter().map(|(path, code)| (module(path), without_tests(code))).collect())
    }

    #[test]
    fn a_cycle_is_found_also_through_a_facade() {
        let facade = ("a", "mod b;\nmod c;\npub use b::{B, x};\npub(crate) use c::C;\npub struct A;");
        let b = ("a::b", "use super::{A, C};");
        assert_eq!(found(&[facade, b, ("a::c", "use super::A;")]), [""; 0]);
        assert_eq!(found(&[facade, b, ("a::c", "use crate::{a::{A, B}, d};"), ("d", "")]), ["a::b, a::c"]);
        assert_eq!(found(&[facade, b, ("a::c", "fn f() { super::x(); }")]), ["a::b, a::c"]);
    }

    #[test]
    fn a_parent_that_uses_a_child_is_not_imported_by_it() {
        let parent = ("a", "mod b;\nuse b::B;\npub struct A;");
        assert_eq!(found(&[parent, ("a::b", "pub struct B;")]), [""; 0]);
        assert_eq!(found(&[parent, ("a::b", "use super::A;")]), ["a, a::b"]);
    }

    #[test]
    fn unit_tests_are_left_out() {
        let a = ("a", "mod b;\nuse b::B;");
        assert_eq!(
            found(&[a, ("a::b", "struct B;\n#[cfg(test)]\nmod tests {\nuse crate::a::A;\n}")]),
            [""; 0]
        );
    }
}
