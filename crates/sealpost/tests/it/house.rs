//! The arrows of the house go one way: between crates, between modules of a crate, and a build that only seals holds no
//! code that could open.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// The floors: whoever is on one may use what is on lower ones only.
const FLOORS: [&[&str]; 6] = [
    // Below the house: servers for tests. It uses no room, and rooms have it in their tests only, see `DEV_ONLY`.
    &["testbed"],
    &["mail"],
    &["wire", "sealed"],
    &["store", "seal", "open"],
    &["flow", "reader"],
    &["sealpost"],
];
/// Never in `[dependencies]` of anything.
const DEV_ONLY: [&str; 1] = ["testbed"];
/// The one arrow on a floor: `open` uses the certificate of `seal`.
const SAME_FLOOR: [(&str, &str); 1] = [("open", "seal")];
/// Arrows that would break a promise, whatever the floors say.
const NEVER: [(&str, &str); 6] = [
    ("flow", "open"),
    ("flow", "reader"),
    ("reader", "flow"),
    ("store", "sealed"),
    ("sealed", "store"),
    ("store", "seal"),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn floor(name: &str) -> Option<usize> {
    FLOORS.iter().position(|floor| floor.contains(&name))
}

fn crates() -> Vec<String> {
    let entries = fs::read_dir(root().join("crates")).unwrap();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Names in `[dependencies]` and `[build-dependencies]`.
fn dependencies(name: &str) -> Vec<String> {
    let manifest = fs::read_to_string(root().join("crates").join(name).join("Cargo.toml")).unwrap();
    let mut section = String::new();
    let mut names = Vec::new();
    for line in manifest.lines() {
        if line.starts_with('[') {
            section = line.to_owned();
        } else if section == "[dependencies]" || section == "[build-dependencies]" {
            names.extend(line.split(['.', ' ', '=']).next().filter(|word| !word.is_empty()).map(str::to_owned));
        }
    }
    names
}

#[test]
fn every_crate_has_a_floor_and_uses_lower_ones_only() {
    let crates = crates();
    assert!(crates.len() >= 8, "{crates:?}");
    for name in &crates {
        let own = floor(name).unwrap_or_else(|| panic!("{name} stands on no floor"));
        for used in dependencies(name).iter().filter(|used| crates.contains(used)) {
            let lower = floor(used).unwrap() < own || SAME_FLOOR.contains(&(name, used));
            assert!(lower, "{name} must not use {used}");
            assert!(!NEVER.contains(&(name, used)), "{name} must never use {used}");
            assert!(!DEV_ONLY.contains(&used.as_str()), "{name} may use {used} in its tests only");
        }
    }
}

/// In each room, from a crate down to the smallest folder: a module imports no module that is declared after it.
#[test]
fn modules_import_only_what_is_declared_before_them() {
    for name in crates() {
        let source = root().join("crates").join(&name).join("src");
        let files = files_below(&source);
        let rooms: BTreeMap<Vec<String>, Vec<String>> = files
            .iter()
            .map(|(module, text)| (module.clone(), text.lines().filter_map(declaration).map(str::to_owned).collect()))
            .collect();
        assert!(!rooms[&Vec::new()].is_empty(), "{name} has modules");
        for (module, text) in &files {
            for path in imports(text, module) {
                let shared = module.iter().zip(&path).take_while(|(own, other)| own == other).count();
                let (Some(own), Some(other)) = (module.get(shared), path.get(shared)) else { continue };
                let place = |of: &String| rooms[&module[..shared]].iter().position(|declared| declared == of);
                let (Some(own), Some(other)) = (place(own), place(other)) else { continue };
                assert!(
                    other < own,
                    "{name}: {} uses {}, which is declared after it",
                    module.join("::"),
                    path.join("::")
                );
            }
        }
    }
}

/// The modules of a crate, each as its path and its text without tests and comments.
fn files_below(source: &Path) -> Vec<(Vec<String>, String)> {
    let mut files = Vec::new();
    let mut folders = vec![source.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let module = path.strip_prefix(source).unwrap().with_extension("");
                let mut module: Vec<String> = module.iter().map(|part| part.to_str().unwrap().to_owned()).collect();
                module.pop_if(|last| ["lib", "main", "mod"].contains(&last.as_str()));
                let text = fs::read_to_string(&path).unwrap();
                let product = text.split("#[cfg(test)]\nmod tests").next().unwrap();
                let lines = product.lines().filter(|line| !line.trim_start().starts_with("//"));
                files.push((module, lines.collect::<Vec<_>>().join("\n")));
            }
        }
    }
    files
}

fn declaration(line: &str) -> Option<&str> {
    let rest = line
        .strip_prefix("pub mod ")
        .or_else(|| line.strip_prefix("mod "))
        .or_else(|| line.strip_prefix("pub(crate) mod "))?;
    rest.strip_suffix(';')
}

/// All that the text of a module names by a path of its own crate, from the crate's root down.
fn imports(text: &str, module: &[String]) -> Vec<Vec<String>> {
    let begins = ["crate::", "super::"].iter().flat_map(|word| text.match_indices(word)).map(|(at, _)| at);
    let begins =
        begins.filter(|at| !text[..*at].ends_with(|before: char| before.is_alphanumeric() || "_:".contains(before)));
    let mut found = Vec::new();
    for at in begins {
        let (paths, _) = paths(&text[at..]);
        for path in paths {
            let up = path.iter().take_while(|part| *part == "super").count();
            let below = if up == 0 { &[][..] } else { &module[..module.len().saturating_sub(up)] };
            found.push([below, &path[up.max(1)..]].concat());
        }
    }
    found
}

/// The paths that a text begins with, `a::{b, c::d}` being two, and what comes after them.
fn paths(text: &str) -> (Vec<Vec<String>>, &str) {
    let text = text.trim_start();
    if let Some(mut rest) = text.strip_prefix('{') {
        let mut all = Vec::new();
        loop {
            let (some, after) = paths(rest);
            all.extend(some);
            rest = after.trim_start();
            match rest.strip_prefix(',') {
                Some(after) => rest = after,
                None => return (all, rest.strip_prefix('}').unwrap_or(rest)),
            }
        }
    }
    let end = text.find(|letter: char| !letter.is_alphanumeric() && letter != '_').unwrap_or(text.len());
    let (word, rest) = text.split_at(end);
    if word.is_empty() {
        return (Vec::new(), rest.strip_prefix('*').unwrap_or(rest));
    }
    let rest = rest
        .strip_prefix(" as ")
        .map_or(rest, |alias| alias.trim_start_matches(|letter: char| letter.is_alphanumeric() || letter == '_'));
    let (mut below, rest) = match rest.strip_prefix("::") {
        Some(rest) => paths(rest),
        None => (Vec::new(), rest),
    };
    if below.is_empty() {
        below.push(Vec::new());
    }
    below.iter_mut().for_each(|path| path.insert(0, word.to_owned()));
    (below, rest)
}

#[test]
fn the_import_reader_reads_imports() {
    let text = "use crate::{\n    a::{B, c::D as E},\n    d,\n};\nuse super::e::F;\nfn f() { super::super::h::i() }\nuse x::crate_::y;";
    let module = ["one", "two", "three"].map(str::to_owned);
    let found: Vec<String> = imports(text, &module).iter().map(|path| path.join("::")).collect();
    assert_eq!(found, ["a::B", "a::c::D", "d", "one::two::e::F", "one::h::i"]);
}

#[test]
fn a_build_that_only_seals_cannot_open() {
    let tree = |arguments: &[&str]| {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let output = Command::new(cargo)
            .current_dir(root())
            .args([
                "tree",
                "--offline",
                "--locked",
                "-p",
                "sealpost",
                "-e",
                "normal,build",
                "--prefix",
                "none",
                "--format",
                "{p}",
            ])
            .args(arguments)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect::<Vec<_>>()
    };
    let has = |tree: &[String], name: &str| tree.iter().any(|package| package == name);
    let whole = tree(&[]);
    assert!(has(&whole, "open") && has(&whole, "reader") && has(&whole, "seal"));
    // What a forwarder needs takes long to compile: not for whoever runs none. One library of cryptography, whatever is built.
    assert!(!has(&whole, "mail-auth") && !has(&whole, "hickory-resolver"));
    let forwarder = tree(&["--no-default-features", "--features", "forward,postgres"]);
    assert!(has(&forwarder, "mail-auth") && has(&forwarder, "hickory-resolver"));
    assert!(!has(&forwarder, "ring") && !has(&forwarder, "openssl") && !has(&forwarder, "open"));
    let sealer = tree(&["--no-default-features"]);
    assert!(has(&sealer, "seal") && has(&sealer, "flow"));
    assert!(!has(&sealer, "open") && !has(&sealer, "reader"));
}
