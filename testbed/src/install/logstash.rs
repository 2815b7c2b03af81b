use std::{fs, path::PathBuf, process::Command};

use anyhow::Result;

use super::{
    cache::{Cache, run},
    packages::need,
};

const SOURCES: [(&str, &str); 3] = [
    ("main.go", include_str!("../../logstash/main.go")),
    ("go.mod", include_str!("../../logstash/go.mod")),
    ("go.sum", include_str!("../../logstash/go.sum")),
];

/// A program that reads Logstash pipelines by Logstash's grammar: `testbed/logstash/main.go`.
pub fn logstash_grammar() -> Result<PathBuf> {
    let directory = Cache::open()?.provide("logstash-grammar-0.5.3", |staging| {
        let go = need("go", "golang-go", "put Go 1.19 or later on the PATH")?;
        for (name, text) in SOURCES {
            fs::write(staging.join(name), text)?;
        }
        let mut command = Command::new(go);
        command.arg("-C").arg(staging).args(["build", "-o", "grammar", "."]);
        // The toolchain that is there, and no file outside of the cache.
        command.env("GOTOOLCHAIN", "local").env("GOFLAGS", "-mod=readonly -modcacherw");
        for (variable, name) in [("GOPATH", "go"), ("GOCACHE", "go-build")] {
            command.env(variable, staging.join(name));
        }
        run(command, "the grammar of Logstash (built with Go, half a minute)")?;
        for name in ["go", "go-build"] {
            fs::remove_dir_all(staging.join(name))?;
        }
        Ok(())
    })?;
    Ok(directory.join("grammar"))
}
