//! The built programs, held aside while a test runs.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

/// Sealbook's programs in a folder of their own: a build that replaces them meanwhile changes nothing for the test.
#[derive(Debug)]
pub struct Programs {
    folder: tempfile::TempDir,
}

impl Programs {
    /// Links (or copies) the programs that were built in this profile, or those in the folder that the environment
    /// variable `SEALBOOK_PROGRAMS` names.
    ///
    /// # Panics
    /// They have not been built.
    #[must_use]
    pub fn hold() -> Self {
        let own = std::env::current_exe().unwrap();
        let beside = own.parent().unwrap();
        // Tests lie one folder below the programs, the benchmark among them.
        let target = if beside.join("sealbook-node").is_file() {
            beside
        } else {
            beside.parent().unwrap()
        };
        let given = std::env::var_os("SEALBOOK_PROGRAMS").map(PathBuf::from);
        let built = given.unwrap_or_else(|| target.to_path_buf());
        let folder = tempfile::Builder::new()
            .prefix("programs-")
            .tempdir_in(target)
            .unwrap();
        for name in ["sealbook", "sealbook-node", "sealbook-execution"] {
            let (from, to) = (built.join(name), folder.path().join(name));
            assert!(
                from.is_file(),
                "`{}` is missing: cargo build --workspace --bins",
                from.display()
            );
            if fs::hard_link(&from, &to).is_err() {
                fs::copy(&from, &to).unwrap();
            }
        }
        Self { folder }
    }

    /// The path of a program.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs `sealbook` with these arguments.
    ///
    /// # Panics
    /// It cannot be started.
    pub fn sealbook<A: AsRef<std::ffi::OsStr>>(&self, arguments: &[A]) -> Ran {
        let output = Command::new(self.path("sealbook"))
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        Ran::of(&output)
    }
}

/// What a program said, and its exit code.
#[derive(Debug, Clone)]
pub struct Ran {
    /// Exit code; -1 if a signal ended it.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Ran {
    fn of(output: &Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Checks the exit code, and that no program text about a panic is shown.
    ///
    /// # Panics
    /// It is another one.
    #[must_use]
    pub fn expect_code(self, code: i32) -> Self {
        assert_eq!(
            self.code, code,
            "exit code\nstdout: {}\nstderr: {}",
            self.out, self.err
        );
        assert!(
            !self.err.contains("panicked"),
            "a panic is shown: {}",
            self.err
        );
        if code != 0 {
            assert!(
                self.err.contains("error: "),
                "no error is shown: {}",
                self.err
            );
        }
        self
    }

    /// Standard output as JSON.
    ///
    /// # Panics
    /// It is not JSON.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out)
            .unwrap_or_else(|error| panic!("{error} in: {}\nstderr: {}", self.out, self.err))
    }
}
