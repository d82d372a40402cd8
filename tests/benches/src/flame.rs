//! `sealbook-bench flame`: a flame graph of what a program spends its time on, from the output of `perf script -F comm,ip,sym`.
//!
//! The width of a box is the share of samples in which its function was running or waiting for those above it. Functions
//! written in assembly hide their callers from perf; they stand on the ground.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Read as _;

use crate::Result;

const USAGE: &str =
    "perf script -F comm,ip,sym | sealbook-bench flame [--from FUNCTION] > GRAPH.svg";
const WIDTH: f64 = 1_200.0;
const ROW: usize = 17;
/// Boxes that are narrower, in parts of all samples, are left out.
const LEAST: f64 = 0.004;
/// Width of a letter, in the units of the drawing.
const LETTER: f64 = 6.3;

#[derive(Default)]
struct Frame {
    samples: usize,
    callees: BTreeMap<String, Frame>,
}

/// Draws what comes in on standard input.
pub(crate) fn draw(mut arguments: impl Iterator<Item = String>) -> Result<()> {
    let from = match (arguments.next().as_deref(), arguments.next()) {
        (None, _) => None,
        (Some("--from"), Some(function)) => Some(function),
        _ => return Err(USAGE.into()),
    };
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text)?;
    let mut all = Frame::default();
    for sample in text.split("\n\n") {
        add(&mut all, sample, from.as_deref());
    }
    if all.samples == 0 {
        return Err("no samples".into());
    }
    println!("{}", graph(&all));
    Ok(())
}

/// Adds a sample: its first line names the thread, the others the functions, the innermost first.
fn add(all: &mut Frame, sample: &str, from: Option<&str>) {
    let mut functions: Vec<String> = sample
        .lines()
        .skip_while(|line| line.trim().is_empty())
        .skip(1)
        .filter_map(|line| line.trim().split_once(' '))
        .map(|(_, symbol)| short(symbol))
        .filter(|name| !name.is_empty() && !name.contains("[unknown]"))
        .collect();
    if functions.is_empty() {
        return;
    }
    functions.reverse();
    let start = from.and_then(|from| functions.iter().position(|name| name.ends_with(from)));
    let mut frame = all;
    frame.samples += 1;
    for name in functions.into_iter().skip(start.unwrap_or(0)) {
        frame = frame.callees.entry(name).or_default();
        frame.samples += 1;
    }
}

/// The last two words of a function's path, without what it is generic over.
fn short(symbol: &str) -> String {
    let symbol = symbol.rsplit_once("+0x").map_or(symbol, |(name, _)| name);
    let mut depth = 0_usize;
    let mut plain = String::new();
    for letter in symbol.chars() {
        match letter {
            '<' => depth += 1,
            '>' => depth = depth.saturating_sub(1),
            _ if depth == 0 => plain.push(letter),
            _ => {}
        }
    }
    let words: Vec<&str> = plain.split("::").filter(|word| !word.is_empty()).collect();
    let last = words
        .get(words.len().saturating_sub(2)..)
        .unwrap_or_default();
    last.join("::")
}

fn depth(frame: &Frame, least: f64) -> usize {
    let wide = frame
        .callees
        .values()
        .filter(|callee| callee.samples as f64 >= least);
    wide.map(|callee| 1 + depth(callee, least))
        .max()
        .unwrap_or(0)
}

fn graph(all: &Frame) -> String {
    let least = LEAST * all.samples as f64;
    let rows = depth(all, least);
    let height = (rows + 2) * ROW;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"monospace\" \
         font-size=\"10.5\">\n<rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#ffffff\"/>\n"
    );
    boxes(
        &mut svg,
        all,
        (0.0, WIDTH / all.samples as f64),
        (height - ROW, least),
    );
    let _ = write!(
        svg,
        "<text x=\"4\" y=\"{}\">{} samples</text>\n</svg>",
        height - 5,
        all.samples
    );
    svg
}

/// Draws what a function called, the most called first.
fn boxes(
    svg: &mut String,
    of: &Frame,
    (mut left, unit): (f64, f64),
    (ground, least): (usize, f64),
) {
    let mut callees: Vec<(&String, &Frame)> = of.callees.iter().collect();
    callees.sort_by_key(|(_, frame)| std::cmp::Reverse(frame.samples));
    for (name, frame) in callees {
        let width = frame.samples as f64 * unit;
        if (frame.samples as f64) < least {
            continue;
        }
        let Some(top) = ground.checked_sub(ROW) else {
            return;
        };
        let name = name
            .replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('>', "&gt;");
        let percent = frame.samples as f64 * unit * 100.0 / WIDTH;
        let _ = write!(
            svg,
            "<g><title>{name}: {percent:.1} %</title><rect x=\"{left:.1}\" y=\"{top}\" width=\"{:.1}\" height=\"{}\" \
             fill=\"{}\" rx=\"1\"/>",
            (width - 0.6).max(0.4),
            ROW - 1,
            colour(&name),
        );
        let letters = ((width - 5.0) / LETTER).max(0.0) as usize;
        if letters >= 4 {
            let label: String = name.chars().take(letters).collect();
            let _ = write!(
                svg,
                "<text x=\"{:.1}\" y=\"{}\">{label}</text>",
                left + 3.0,
                top + 12
            );
        }
        svg.push_str("</g>\n");
        boxes(svg, frame, (left, unit), (top, least));
        left += width;
    }
}

/// Cryptography blue, memory grey, everything else warm.
fn colour(name: &str) -> &'static str {
    const CRYPTOGRAPHY: [&str; 11] = [
        "blake3", "hash", "x25519", "X25519", "ed25519", "edwards", "chacha", "sha512", "field",
        "verify", "AEAD",
    ];
    const MEMORY: [&str; 6] = ["malloc", "free", "memmove", "memset", "RawVec", "realloc"];
    let is_of = |words: &[&str]| words.iter().any(|word| name.contains(word));
    match (is_of(&CRYPTOGRAPHY), is_of(&MEMORY)) {
        (true, _) => "#9ec9e2",
        (_, true) => "#c9c9c9",
        _ => "#f2c48d",
    }
}
