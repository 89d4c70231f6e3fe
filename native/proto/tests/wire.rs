//! The case files of `tests/wire`: bytes in, events and answers out.
//!
//! The same files are played against a running server by `tests/wire/test_wire.py`; the format is
//! described in `tests/wire/README.md`. Here every case goes through the checker.

mod support;

use std::fmt::Write;
use std::fs;
use std::path::Path;

use ferricorn_proto::Limits;
use support::{Act, App, check};

struct Case {
    name: String,
    acts: Vec<Act>,
    app: App,
    events: Vec<String>,
    statuses: Vec<u16>,
    after: String,
}

#[test]
fn every_case_gives_its_events_and_answers_however_it_is_cut() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/wire");
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.retain(|path| {
        path.extension()
            .is_some_and(|extension| extension == "wire")
    });
    files.sort();
    let mut cases = 0;
    let mut wrong = String::new();
    for path in files {
        let text = fs::read_to_string(&path).unwrap();
        for case in read(&text) {
            cases += 1;
            if let Err(report) = run(&case) {
                let file = path.file_name().unwrap().display();
                writeln!(wrong, "{file}: {}\n{report}", case.name).unwrap();
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert!(cases > 200, "the case files are there: {cases}");
}

fn run(case: &Case) -> Result<(), String> {
    let seen = check(&case.acts, case.app, Limits::default());
    // A case names the fields it is about, or none.
    let about_fields = case.events.iter().any(|line| line.starts_with("field "));
    let events: Vec<_> = seen
        .events
        .iter()
        .filter(|line| about_fields || !line.starts_with("field "))
        .cloned()
        .collect();
    let after = match (seen.closed, seen.pending) {
        (true, _) => "close",
        (false, true) => "wait",
        (false, false) => "keep",
    };
    let seen = (events, seen.statuses(), after);
    let wanted = (case.events.clone(), case.statuses.clone(), &case.after[..]);
    if seen == wanted {
        Ok(())
    } else {
        Err(format!("  wanted {wanted:?}\n  seen   {seen:?}"))
    }
}

/// The cases of a file.
fn read(text: &str) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for line in text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
    {
        if let Some(name) = line.strip_prefix("== ") {
            cases.push(Case {
                name: name.into(),
                acts: Vec::new(),
                app: App::Reads,
                events: Vec::new(),
                statuses: Vec::new(),
                after: String::new(),
            });
            continue;
        }
        let case = cases.last_mut().expect("a file begins with a case");
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            ">" => match case.acts.last_mut() {
                Some(Act::Send(bytes)) => bytes.extend(unescape(rest)),
                _ => case.acts.push(Act::Send(unescape(rest))),
            },
            ">wait" => case.acts.push(Act::Wait),
            ">eof" => case.acts.push(Act::Eof),
            "app" if rest == "early" => case.app = App::Early,
            "status" => {
                case.statuses = rest
                    .split(' ')
                    .map(|status| status.parse().unwrap())
                    .collect();
            }
            "after" => case.after = rest.into(),
            "request" | "field" | "upgrade" | "length" | "chunked" | "body" | "end" | "fault"
            | "refuse" | "cut" => {
                // Repetitions are written short; the transcript has them in full.
                case.events.push(support::escape(&unescape(line)));
            }
            _ => panic!("{}: what is {line:?}?", case.name),
        }
    }
    cases
}

/// `\r \n \t \\ \xNN`, and `\(text*number)` for a text again and again.
fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        bytes.extend_from_slice(&rest.as_bytes()[..at]);
        rest = &rest[at + 1..];
        let (kind, tail) = rest.split_at(1);
        rest = tail;
        match kind {
            "r" => bytes.push(b'\r'),
            "n" => bytes.push(b'\n'),
            "t" => bytes.push(b'\t'),
            "\\" => bytes.push(b'\\'),
            "x" => {
                bytes.push(u8::from_str_radix(&rest[..2], 16).unwrap());
                rest = &rest[2..];
            }
            "(" => {
                let (inside, tail) = rest.split_once(')').unwrap();
                let (text, count) = inside.rsplit_once('*').unwrap();
                bytes.extend(unescape(text).repeat(count.parse().unwrap()));
                rest = tail;
            }
            _ => panic!("what is \\{kind}?"),
        }
    }
    bytes.extend_from_slice(rest.as_bytes());
    bytes
}
