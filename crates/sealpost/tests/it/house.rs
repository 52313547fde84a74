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

#[test]
fn modules_import_only_what_is_declared_before_them() {
    for name in crates().iter().filter(|name| *name != "sealpost") {
        let source = root().join("crates").join(name).join("src");
        check_modules(&source, &source.join("lib.rs"), name);
    }
}

/// `file` declares modules; each of their files may say `crate::x` only for an `x` declared above.
fn check_modules(directory: &Path, file: &Path, name: &str) {
    let text = fs::read_to_string(file).unwrap();
    let declared: Vec<String> = text.lines().filter_map(declaration).collect();
    assert!(!declared.is_empty(), "{name} has modules");
    let position: BTreeMap<&str, usize> =
        declared.iter().enumerate().map(|(at, module)| (module.as_str(), at)).collect();
    for (at, module) in declared.iter().enumerate() {
        for path in files_of(directory, module) {
            let text = fs::read_to_string(&path).unwrap();
            let product = text.split("#[cfg(test)]\nmod tests").next().unwrap();
            for used in imports(product) {
                if let Some(&other) = position.get(used.as_str()) {
                    assert!(other <= at, "{}: {module} uses {used}, which is declared after it", path.display());
                }
            }
        }
    }
}

fn declaration(line: &str) -> Option<String> {
    let rest = line
        .strip_prefix("pub mod ")
        .or_else(|| line.strip_prefix("mod "))
        .or_else(|| line.strip_prefix("pub(crate) mod "))?;
    rest.strip_suffix(';').map(str::to_owned)
}

fn files_of(directory: &Path, module: &str) -> Vec<PathBuf> {
    let mut files = vec![directory.join(format!("{module}.rs"))];
    let mut folders = vec![directory.join(module)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    files.retain(|file| file.exists());
    assert!(!files.is_empty(), "{module} has a file");
    files
}

/// First segments after `crate::`, also within braces.
fn imports(text: &str) -> Vec<String> {
    let word =
        |text: &str| text.chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect::<String>();
    let mut names = Vec::new();
    for (at, found) in text.match_indices("crate::") {
        let before = text[..at].chars().next_back();
        if before.is_some_and(|letter| letter.is_alphanumeric() || letter == '_') || is_comment(text, at) {
            continue;
        }
        let rest = &text[at + found.len()..];
        let Some(inner) = rest.strip_prefix('{') else {
            names.push(word(rest));
            continue;
        };
        let mut depth = 0;
        let mut start = true;
        for (offset, letter) in inner.char_indices() {
            match letter {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => start = true,
                letter if start && !letter.is_whitespace() => {
                    names.push(word(&inner[offset..]));
                    start = false;
                }
                _ => {}
            }
        }
    }
    names
}

fn is_comment(text: &str, at: usize) -> bool {
    let line = text[..at].rfind('\n').map_or(0, |end| end + 1);
    text[line..at].trim_start().starts_with("//")
}

#[test]
fn the_import_reader_reads_imports() {
    let text = "use crate::{\n    a::{B, C},\n    d,\n};\nuse crate::e::F;\n// crate::g\nfn f() { crate::h::i() }\n";
    assert_eq!(imports(text), ["a", "d", "e", "h"]);
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
