//! The directory of an embedded store: whose it is, and of which format.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};
use thiserror::Error;

/// The format that this version writes. A version reads all formats up to its own.
const FORMAT: u32 = 1;
const MARKER: &str = "penstock-store";
/// What a first start leaves that was killed while it wrote the marker.
const UNFINISHED_MARKER: &str = "penstock-store.new";
const TITLE: &str = "penstock store, format ";
const DATABASE: &str = "database";

/// Why a directory cannot be used as a store.
#[derive(Debug, Error)]
pub(super) enum FormatError {
    #[error("cannot use {path} as a store: {source}")]
    Inaccessible { path: PathBuf, source: io::Error },
    #[error("{path} holds files, but no store; give an empty directory, or one that does not exist")]
    NoStore { path: PathBuf },
    #[error(
        "the store in {path} has format {found}, written by a newer version; this one knows formats up to {FORMAT}"
    )]
    Newer { path: PathBuf, found: u32 },
    #[error("{path} does not name the format of a store")]
    UnreadableMarker { path: PathBuf },
    #[error("the database in {path} cannot be opened: {source}")]
    Database { path: PathBuf, source: fjall::Error },
}

/// Makes sure that the directory is a store of a known format, a new one if it is empty or absent, and returns
/// where its database is.
pub(super) fn prepare(path: &Path) -> Result<PathBuf, FormatError> {
    let inaccessible = |source| FormatError::Inaccessible { path: path.to_owned(), source };
    match fs::read_to_string(path.join(MARKER)) {
        Ok(text) => check(path, &text)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            fs::create_dir_all(path).map_err(inaccessible)?;
            if !is_empty(path).map_err(inaccessible)? {
                return Err(FormatError::NoStore { path: path.to_owned() });
            }
            mark(path).map_err(inaccessible)?;
        }
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            return Err(FormatError::UnreadableMarker { path: path.join(MARKER) });
        }
        Err(error) => return Err(inaccessible(error)),
    }
    Ok(path.join(DATABASE))
}

fn check(path: &Path, marker: &str) -> Result<(), FormatError> {
    let format = marker.trim_end().strip_prefix(TITLE).and_then(|number| number.parse::<u32>().ok());
    match format {
        Some(1..=FORMAT) => Ok(()),
        Some(found) if found > FORMAT => Err(FormatError::Newer { path: path.to_owned(), found }),
        _ => Err(FormatError::UnreadableMarker { path: path.join(MARKER) }),
    }
}

fn is_empty(path: &Path) -> io::Result<bool> {
    for entry in fs::read_dir(path)? {
        if entry?.file_name() != UNFINISHED_MARKER {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The marker is there whole, and for ever, before there is anything to lose.
fn mark(path: &Path) -> io::Result<()> {
    let unfinished = path.join(UNFINISHED_MARKER);
    let mut file = File::create(&unfinished)?;
    writeln!(file, "{TITLE}{FORMAT}")?;
    file.sync_all()?;
    fs::rename(unfinished, path.join(MARKER))?;
    File::open(path)?.sync_all()?;
    match path.canonicalize()?.parent() {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory_with(name: &str, text: &str) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join(name), text).unwrap();
        directory
    }

    #[test]
    fn a_new_directory_becomes_a_store_and_stays_one() {
        let directory = directory_with(UNFINISHED_MARKER, "pens");
        let store = prepare(directory.path()).unwrap();
        assert_eq!(prepare(directory.path()).unwrap(), store);
        assert!(prepare(&directory.path().join("a/b")).is_ok());
    }

    #[test]
    fn what_is_no_store_of_a_known_format_is_refused_in_a_sentence() {
        let path = directory_with("thesis.txt", "");
        assert!(matches!(prepare(path.path()), Err(FormatError::NoStore { .. })));
        assert!(!path.path().join(MARKER).exists());

        let path = directory_with(MARKER, "penstock store, format 2\n");
        let error = prepare(path.path()).unwrap_err().to_string();
        assert!(error.contains("has format 2, written by a newer version"), "{error}");

        for text in ["", "penstock store, format 0\n", "\u{fffd}"] {
            let path = directory_with(MARKER, text);
            assert!(matches!(prepare(path.path()), Err(FormatError::UnreadableMarker { .. })), "{text}");
        }
        let path = directory_with("file", "");
        assert!(matches!(prepare(&path.path().join("file")), Err(FormatError::Inaccessible { .. })));
    }
}
