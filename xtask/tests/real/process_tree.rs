use std::{
    fs, thread,
    time::{Duration, Instant},
};

const SOON: Duration = Duration::from_secs(10);

/// A process as /proc/pid shows it (proc(5)).
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) pid: u32,
    parent: u32,
    session: u32,
    name: String,
}

/// The living processes that `root` has started, itself included: its descendants and its session.
pub(crate) fn tree(root: u32) -> Vec<Entry> {
    let all = living();
    let mut pids = vec![root];
    let mut index = 0;
    while let Some(&parent) = pids.get(index) {
        pids.extend(all.iter().filter(|entry| entry.parent == parent).map(|entry| entry.pid));
        index += 1;
    }
    all.into_iter().filter(|entry| pids.contains(&entry.pid) || entry.session == root).collect()
}

/// Waits until none of the processes lives.
pub(crate) fn wait_until_gone(processes: &[Entry]) {
    let is_there = |entry: &Entry| {
        let same = |other: &Entry| other.pid == entry.pid && other.name == entry.name;
        living().iter().any(same)
    };
    let end = Instant::now() + SOON;
    loop {
        let left: Vec<&Entry> = processes.iter().filter(|entry| is_there(entry)).collect();
        if left.is_empty() {
            return;
        }
        assert!(Instant::now() < end, "left behind: {left:#?}");
        thread::sleep(Duration::from_millis(20));
    }
}

pub(crate) fn has(processes: &[Entry], name: &str) -> bool {
    processes.iter().any(|entry| entry.name == name)
}

fn living() -> Vec<Entry> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    entries
        .filter_map(|entry| {
            let mut process = parse(&fs::read_to_string(entry.path().join("stat")).ok()?)?;
            if let Some(name) = called(&fs::read(entry.path().join("cmdline")).ok()?) {
                process.name = name;
            }
            Some(process)
        })
        .collect()
}

/// The name it was called by: Debian's one Redis binary is several programs.
fn called(command_line: &[u8]) -> Option<String> {
    let called = std::str::from_utf8(command_line.split(|byte| *byte == 0).next()?).ok()?;
    let name = called.split(' ').next()?.rsplit('/').next()?;
    (!name.is_empty()).then(|| name.to_owned())
}

/// `None` for a process that has died but that init has not reaped yet.
fn parse(stat: &str) -> Option<Entry> {
    let (pid, rest) = stat.split_once(" (")?;
    let (name, fields) = rest.rsplit_once(") ")?;
    let fields: Vec<&str> = fields.split(' ').collect();
    let [state, parent, _group, session, ..] = fields[..] else { return None };
    if state == "Z" || state == "X" {
        return None;
    }
    Some(Entry {
        pid: pid.parse().ok()?,
        parent: parent.parse().ok()?,
        session: session.parse().ok()?,
        name: name.to_owned(),
    })
}
