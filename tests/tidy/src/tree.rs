//! The repository's files and crates.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// The repository's root.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap().to_owned()
}

/// Every file of the repository, tracked or about to be, as a path from its root.
pub(crate) fn files() -> Vec<String> {
    let listed = Command::new("git")
        .args([
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ])
        .current_dir(root())
        .output();
    let mut files: Vec<String> = match listed {
        Ok(output) if output.status.success() && !output.stdout.is_empty() => {
            let text = String::from_utf8(output.stdout).unwrap();
            let names = text.split('\0').filter(|name| !name.is_empty());
            names
                .filter(|name| root().join(name).is_file())
                .map(str::to_owned)
                .collect()
        }
        // An unpacked archive has no history to ask.
        _ => walk(&root()),
    };
    files.sort();
    files.dedup();
    assert!(
        files.iter().any(|file| file == "Cargo.toml"),
        "the root is {}",
        root().display()
    );
    files
}

/// Every file below a folder, without build products and hidden bookkeeping.
fn walk(root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path
                .strip_prefix(root)
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned();
            if ["target", ".git", "demo-data"].contains(&name.as_str()) {
                continue;
            }
            if path.is_symlink() {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(name);
            }
        }
    }
    found
}

/// The text of a file, or nothing when it is not text.
pub(crate) fn read(file: &str) -> Option<String> {
    String::from_utf8(std::fs::read(root().join(file)).unwrap()).ok()
}

/// Every Rust source file with its text.
pub(crate) fn rust_files() -> Vec<(String, String)> {
    let names = files().into_iter().filter(|file| file.ends_with(".rs"));
    names
        .map(|file| (file.clone(), read(&file).unwrap()))
        .collect()
}

/// A crate of the workspace.
pub(crate) struct Member {
    pub(crate) name: String,
    /// Its folder, from the root.
    pub(crate) folder: String,
    pub(crate) dependencies: Vec<Dependency>,
    /// The first file of each library and binary, from the root.
    pub(crate) roots: Vec<String>,
}

/// An entry in a crate's manifest.
pub(crate) struct Dependency {
    pub(crate) name: String,
    /// It is needed by tests only.
    pub(crate) for_tests: bool,
}

impl Member {
    /// Where its manifest mentions a dependency.
    pub(crate) fn place(&self, dependency: &str) -> String {
        let manifest = format!("{}/Cargo.toml", self.folder);
        let text = read(&manifest).unwrap();
        let line = text.lines().position(|line| {
            line.strip_prefix(dependency)
                .is_some_and(|rest| rest.starts_with(['.', ' ', '=']))
        });
        format!("{manifest}:{}", line.map_or(1, |line| line + 1))
    }

    /// True for the crates that only test others.
    pub(crate) fn only_tests(&self) -> bool {
        self.folder.starts_with("tests/")
    }
}

/// The crates of the workspace, as cargo sees them.
pub(crate) fn members() -> Vec<Member> {
    let metadata = metadata(&["--no-deps"]);
    let packages = metadata["packages"].as_array().unwrap();
    let mut members: Vec<Member> = packages.iter().map(member).collect();
    members.sort_by(|one, two| one.name.cmp(&two.name));
    members
}

fn member(package: &Value) -> Member {
    let from_root = |path: &Value| {
        let path = Path::new(path.as_str().unwrap());
        // Cargo resolves symbolic links where the compiler did not, so both sides are resolved.
        let root = root().canonicalize().unwrap();
        let path = path.canonicalize().unwrap();
        path.strip_prefix(root)
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned()
    };
    let manifest = from_root(&package["manifest_path"]);
    let dependencies = package["dependencies"].as_array().unwrap().iter();
    let targets = package["targets"].as_array().unwrap().iter();
    Member {
        name: package["name"].as_str().unwrap().to_owned(),
        folder: manifest.strip_suffix("/Cargo.toml").unwrap().to_owned(),
        dependencies: dependencies
            .map(|dependency| Dependency {
                name: dependency["name"].as_str().unwrap().to_owned(),
                for_tests: dependency["kind"] == "dev",
            })
            .collect(),
        roots: targets
            .filter(|target| {
                let kinds = target["kind"].as_array().unwrap();
                kinds.iter().any(|kind| kind == "lib" || kind == "bin")
            })
            .map(|target| from_root(&target["src_path"]))
            .collect(),
    }
}

/// What `cargo metadata` says, without asking the network and without changing Cargo.lock.
pub(crate) fn metadata(arguments: &[&str]) -> Value {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--offline", "--locked"])
        .args(arguments)
        .current_dir(root())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Fails with every offender, or passes.
pub(crate) fn report(rule: &str, offenders: &[String]) {
    assert!(
        offenders.is_empty(),
        "{rule}\n{} offender(s):\n  {}",
        offenders.len(),
        offenders.join("\n  ")
    );
}
