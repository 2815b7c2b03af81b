use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use super::{
    cache::{Cache, run},
    java,
    packages::{need, provide},
};

const POM: &str = include_str!("../../elasticsearch/pom.xml");
const SERVER: &str = include_str!("../../elasticsearch/Server.java");
const VERSION: &str = "8.19.21";
const INSTEAD: &str = "set PENSTOCK_TEST_ELASTICSEARCH to use a running service";

/// A module of Elasticsearch: its name, its class, and which jars are its own and not the server's.
type Module = (&'static str, &'static str, &'static [&'static str]);

const MODULES: [Module; 2] = [
    ("transport-netty4", "org.elasticsearch.transport.netty4.Netty4Plugin", &["transport-netty4-", "netty-"]),
    (
        "x-pack-core",
        "org.elasticsearch.xpack.core.XPackPlugin",
        &["x-pack-", "http", "commons-codec", "commons-logging", "unboundid"],
    ),
];

/// A directory with Elasticsearch: its jars in `lib`, those of its modules in `modules`, and what starts it in
/// `classes`.
pub fn elasticsearch() -> Result<PathBuf> {
    Cache::open()?.provide(&format!("elasticsearch-{VERSION}"), |staging| {
        let (maven, compiler) = (need("mvn", "maven", INSTEAD)?, compiler()?);
        let (pom, lib) = (staging.join("pom.xml"), staging.join("lib"));
        let repository = staging.join("repository");
        fs::write(&pom, POM)?;
        let mut command = Command::new(maven);
        command.args(["--quiet", "--batch-mode", "dependency:copy-dependencies", "-DincludeScope=runtime"]);
        command.arg("--file").arg(pom).arg(format!("-DoutputDirectory={}", lib.display()));
        command.arg(format!("-Dmaven.repo.local={}", repository.display()));
        run(command, "Elasticsearch 8 (jars by Maven, about 20 seconds)")?;
        fs::remove_dir_all(repository).context("removing Maven's repository")?;
        for module in MODULES {
            lay_out(staging, module)?;
        }
        fs::write(staging.join("Server.java"), SERVER)?;
        let mut command = Command::new(compiler);
        command.args(["-nowarn", "-cp"]).arg(format!("{}/*", lib.display()));
        command.arg("-d").arg(staging.join("classes")).arg(staging.join("Server.java"));
        run(command, "what starts Elasticsearch")
    })
}

/// The compiler of Java 17.
fn compiler() -> Result<PathBuf> {
    let installed = || Some(java().ok()?.with_file_name("javac")).filter(|javac| javac.exists());
    provide(installed, "the compiler of Java 17", "openjdk-17-jdk-headless", INSTEAD)
}

/// A module has its jars in a directory of its own, and a description as the server wants it.
fn lay_out(staging: &Path, (name, class, jars): Module) -> Result<()> {
    let directory = staging.join("modules").join(name);
    fs::create_dir_all(&directory)?;
    for jar in fs::read_dir(staging.join("lib"))? {
        let jar = jar?;
        let file = jar.file_name();
        if jars.iter().any(|start| file.to_string_lossy().starts_with(start)) {
            fs::rename(jar.path(), directory.join(&file))?;
        }
    }
    let description = format!(
        "name={name}\ndescription={name}\nversion={VERSION}\nelasticsearch.version={VERSION}\n\
         java.version=17\nclassname={class}\n"
    );
    fs::write(directory.join("plugin-descriptor.properties"), description)?;
    Ok(())
}
