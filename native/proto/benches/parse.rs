//! The parser and the response writer, with httparse on the same bytes as the measure.
//!
//! What httparse does is less: it finds lines and fields. Ours also checks the host, frames the
//! body, decides about the connection and puts names into lower case. The goal is 1.3 of its time.
//! WebSocket messages are measured by themselves.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use ferricorn_proto::ws::{Codec, Kind, WebSocket};
use ferricorn_proto::{Http1, Limits, Preset, WsLimits};

/// What wrk sends.
const SHORT: &[u8] = b"GET / HTTP/1.1\r\nHost: 127.0.0.1:8000\r\n\r\n";

/// What a browser sends.
const BROWSER: &[u8] = b"GET /static/app/main.js?v=20260101 HTTP/1.1\r\n\
Host: www.example.com\r\n\
User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n\
Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n\
Accept-Language: en-US,en;q=0.5\r\n\
Accept-Encoding: gzip, deflate, br, zstd\r\n\
Referer: https://www.example.com/articles/2026/01/how-it-works\r\n\
Connection: keep-alive\r\n\
Cookie: session=0123456789abcdef0123456789abcdef; theme=dark; consent=yes\r\n\
Sec-Fetch-Dest: document\r\n\
Sec-Fetch-Mode: navigate\r\n\
Sec-Fetch-Site: same-origin\r\n\
Priority: u=0, i\r\n\r\n";

fn heads(criterion: &mut Criterion) {
    let limits = Limits::default();
    for (name, request) in [("short", SHORT), ("browser", BROWSER)] {
        let mut group = criterion.benchmark_group(name);
        group.throughput(Throughput::Bytes(request.len() as u64));
        group.bench_function("httparse", |bencher| {
            bencher.iter(|| {
                let mut fields = [httparse::EMPTY_HEADER; 100];
                let mut parsed = httparse::Request::new(&mut fields);
                parsed.parse(black_box(request)).unwrap();
                black_box(&parsed);
            });
        });
        group.bench_function("httparse, fields not initialised", |bencher| {
            bencher.iter(|| {
                let mut fields = [const { std::mem::MaybeUninit::uninit() }; 100];
                let mut parsed = httparse::Request::new(&mut []);
                parsed
                    .parse_with_uninit_headers(black_box(request), &mut fields)
                    .unwrap();
                black_box(&parsed);
            });
        });
        group.bench_function("ferricorn", |bencher| {
            let mut fields = Vec::with_capacity(100);
            let mut input = request.to_vec();
            bencher.iter(|| {
                fields.clear();
                let mut http = Http1::new();
                let step = http
                    .handle_bytes(black_box(&mut input), &mut fields, &limits)
                    .unwrap();
                black_box((&step, &fields, &http));
            });
        });
        group.finish();
    }
}

fn exchange(criterion: &mut Criterion) {
    let limits = Limits::default();
    let preset = Preset {
        date: b"date: Thu, 01 Jan 2026 00:00:00 GMT\r\n".to_vec(),
        server: b"server: ferricorn\r\n".to_vec(),
        extra: Vec::new(),
    };
    criterion.bench_function("exchange/request and response", |bencher| {
        let mut fields = Vec::with_capacity(100);
        let mut input = SHORT.to_vec();
        let mut out = Vec::with_capacity(1024);
        let mut http = Http1::new();
        bencher.iter(|| {
            fields.clear();
            out.clear();
            let step = http
                .handle_bytes(black_box(&mut input), &mut fields, &limits)
                .unwrap();
            black_box(&step);
            let mut writer = http.respond(200, &mut out, &preset).unwrap();
            writer
                .field(black_box(b"content-type"), black_box(b"text/plain"))
                .unwrap();
            writer
                .field(black_box(b"content-length"), black_box(b"13"))
                .unwrap();
            writer.finish().unwrap();
            http.body(13, false).unwrap();
            out.extend_from_slice(black_box(b"Hello, world!"));
            http.next_exchange();
            black_box(&out);
        });
    });
}

fn bodies(criterion: &mut Criterion) {
    let limits = Limits::default();
    let head = b"POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n";
    for (name, chunk) in [("16 KiB chunks", 16_384), ("1 byte chunks", 1)] {
        let mut body = Vec::new();
        while body.len() < 60_000 {
            ferricorn_proto::encode::chunk_size(&mut body, chunk);
            body.resize(body.len() + usize::try_from(chunk).unwrap(), b'x');
            body.extend_from_slice(b"\r\n");
        }
        let mut group = criterion.benchmark_group("chunked");
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_function(name, |bencher| {
            let setup = || {
                let mut http = Http1::new();
                http.handle_bytes(&mut head.to_vec(), &mut Vec::new(), &limits)
                    .unwrap();
                (http, body.clone())
            };
            let run = |(mut http, mut body): (Http1, Vec<u8>)| {
                let step = http
                    .handle_bytes(black_box(&mut body), &mut Vec::new(), &limits)
                    .unwrap();
                black_box(step);
                body
            };
            bencher.iter_batched(setup, run, BatchSize::LargeInput);
        });
        group.finish();
    }
}

fn messages(criterion: &mut Criterion) {
    let limits = WsLimits::default();
    for (name, size) in [("16 bytes", 16_usize), ("64 KiB", 65_536)] {
        let mut frame = vec![0x81];
        match u16::try_from(size) {
            Ok(_) => frame.push(0x80 | u8::try_from(size).unwrap()),
            Err(_) => {
                frame.push(0xff);
                frame.extend_from_slice(&(size as u64).to_be_bytes());
            }
        }
        // A mask of zeros: what is unmasked in place stays text, however often.
        frame.extend_from_slice(&[0; 4]);
        frame.resize(frame.len() + size, b'x');
        let mut group = criterion.benchmark_group("websocket");
        group.throughput(Throughput::Bytes(size as u64));
        group.bench_function(format!("receive {name}"), |bencher| {
            let (mut socket, mut codec) = (WebSocket::new(None), Codec::new());
            let mut out = Vec::new();
            bencher.iter(|| {
                let input = black_box(&mut frame[..]);
                black_box(socket.handle_bytes(input, &mut codec, &limits, &mut out));
            });
        });
        group.bench_function(format!("send {name}"), |bencher| {
            let (mut socket, mut codec) = (WebSocket::new(None), Codec::new());
            let data = vec![b'x'; size];
            let mut out = Vec::with_capacity(size + 16);
            bencher.iter(|| {
                out.clear();
                socket
                    .send(Kind::Text, black_box(&data), &mut codec, &mut out)
                    .unwrap();
                black_box(&out);
            });
        });
        group.finish();
    }
}

criterion_group!(benches, heads, exchange, bodies, messages);
criterion_main!(benches);
