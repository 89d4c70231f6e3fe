//! Writes the seeds of the fuzz targets, most of them from the wire cases, where the runner looks for
//! them.
//!
//! A seed is a small good start, and the cases are that already; what the fuzzer finds from there
//! stays in `corpus`. Neither is kept in the repository.

use std::fs;
use std::path::Path;

/// PROXY headers, which the cases have none of.
const HEADERS: &[&[u8]] = &[
    b"PROXY TCP4 192.0.2.1 198.51.100.2 4000 443\r\nGET",
    b"PROXY TCP6 2001:db8::1 ::ffff:1.2.3.4 4000 0\r\n",
    b"PROXY UNKNOWN ::1 ::1 65535 65535\r\n",
    b"\r\n\r\n\0\r\nQUIT\n\x20\x00\0\x03abcGET",
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x1b\x01\x02\x03\x04\x05\x06\x07\x08\x12\x34\0\x50\
      \x03\0\x04\0\0\0\0\x02\0\x05hosts",
    b"\r\n\r\n\0\r\nQUIT\n\x21\x21\0\x24\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\
      \x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x02\x12\x34\0\x50",
];

/// Longer cases teach the fuzzer nothing that they do not test themselves.
const LONGEST: usize = 400;

fn main() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let wire = here.join("../../tests/wire");
    println!("cargo::rerun-if-changed={}", wire.display());
    println!("cargo::rerun-if-changed=build.rs");
    let seeds = here.join("seeds");
    // Seeds of cases that are gone would stay otherwise.
    let _ = fs::remove_dir_all(&seeds);
    for target in [
        "request_head",
        "chunked_body",
        "connection",
        "proxy_header",
        "ws_frames",
        "ws_deflate",
    ] {
        fs::create_dir_all(seeds.join(target)).expect("the folder can be written");
    }
    for (number, header) in HEADERS.iter().enumerate() {
        let path = seeds.join("proxy_header").join(number.to_string());
        fs::write(path, [b"\x01", *header].concat()).expect("the folder can be written");
    }
    write_websocket(&seeds);
    let mut files: Vec<_> = fs::read_dir(wire)
        .expect("the cases are there")
        .flatten()
        .collect();
    files.sort_by_key(fs::DirEntry::path);
    let mut number = 0;
    for file in files
        .iter()
        .filter(|file| file.path().extension().is_some_and(|end| end == "wire"))
    {
        let text = fs::read_to_string(file.path()).expect("a case file is text");
        for case in text.split("\n== ") {
            let lines = case.lines().filter_map(|line| line.strip_prefix("> "));
            let bytes = unescape(&lines.collect::<String>());
            if (1..=LONGEST).contains(&bytes.len()) {
                number += 1;
                write(&seeds, number, &bytes);
            }
        }
    }
}

/// Messages by instruction: how a frame begins, its length, its payload.
fn write_websocket(seeds: &Path) {
    let text: &[u8] =
        b"\x01\x04gr\xc3\xbc\x00\x01\xc3\x80\x03\x9fe!\x89\x01p\x8a\x00\x88\x05\x03\xe8bye";
    // The examples of RFC 7692 section 7.2.3, and a text in two frames.
    let hello: &[u8] = b"\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\x00\xc1\x05\xf2\x00\x11\x00\x00";
    let blocks: &[u8] = b"\xc2\x0d\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00";
    let last: &[u8] = b"\xc1\x08\xf3\x48\xcd\xc9\xc9\x07\x00\x00";
    let stored: &[u8] = b"\x42\x05\x00\x05\x00\xfa\xff\x80\x06hello\x00";
    for (number, program) in [text, hello, blocks, last, stored].iter().enumerate() {
        for choice in [0x00, 0x02, 0x83_u8] {
            let name = format!("{number}-{choice}");
            let seed = [&[choice & 0x7f, 3][..], program].concat();
            fs::write(seeds.join("ws_frames").join(&name), seed).expect("as before");
            let seed = [&[choice, 2][..], program].concat();
            fs::write(seeds.join("ws_deflate").join(&name), seed).expect("as before");
        }
    }
}

fn write(seeds: &Path, number: usize, case: &[u8]) {
    let save = |target: &str, bytes: Vec<u8>| {
        fs::write(seeds.join(target).join(number.to_string()), bytes)
            .expect("the folder can be written");
    };
    save("request_head", [b"\x01", case].concat());
    let coding = b"transfer-encoding: chunked\r\n\r\n";
    let found = case
        .windows(coding.len())
        .position(|part| part.eq_ignore_ascii_case(coding));
    if let Some(at) = found {
        save(
            "chunked_body",
            [b"\x01", &case[at + coding.len()..]].concat(),
        );
    }
    // Arrivals of at most 214 octets, then an answer of status 200.
    let mut program = Vec::new();
    for part in case.chunks(214) {
        program.push(41 + u8::try_from(part.len()).expect("at most 214"));
        program.extend_from_slice(part);
    }
    program.extend_from_slice(&[8, 0, 24, 16]);
    save("connection", program);
}

/// As in the reader of the cases, but repetitions are cut down to three.
fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some((plain, tail)) = rest.split_once('\\') {
        bytes.extend_from_slice(plain.as_bytes());
        let (kind, tail) = tail.split_at(1);
        rest = tail;
        match kind {
            "r" => bytes.push(b'\r'),
            "n" => bytes.push(b'\n'),
            "t" => bytes.push(b'\t'),
            "x" => {
                bytes.push(u8::from_str_radix(&rest[..2], 16).expect("two digits"));
                rest = &rest[2..];
            }
            "(" => {
                let (inside, tail) = rest.split_once(')').expect("a repetition ends");
                let (text, count) = inside.rsplit_once('*').expect("a repetition has a count");
                let count: usize = count.parse().expect("a count is a number");
                bytes.extend(unescape(text).repeat(count.min(3)));
                rest = tail;
            }
            other => bytes.extend_from_slice(other.as_bytes()),
        }
    }
    bytes.extend_from_slice(rest.as_bytes());
    bytes
}
