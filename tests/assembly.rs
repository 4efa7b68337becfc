//! The kernels, as the compiler has made them: everything inlined, and no spill in the inner loops of the products.
//!
//! A helper that is not inlined into its level's trampoline, or an accumulator too many, turns a product loop
//! into calls or into traffic with the stack, and nobody is told: results stay right and only the time
//! grows. So this compiles the library to assembly and reads it: whom the functions of a level call, and the loops.
//!
//! `cargo test --release --test assembly -- --ignored` (it compiles the library once more).

use std::collections::HashMap;
use std::path::Path;
use std::process::Command;

/// An instruction: its name and its operands.
type Instruction<'a> = (&'a str, &'a str);

/// The product loops of a function: innermost loops whose vector arithmetic is multiply-adds alone, at least
/// four of them on the registers `register`, and that broadcast the elements of their rows (the elementwise
/// loops of cells with options do not).
fn product_loops<'a>(lines: &[&'a str], register: &str) -> Vec<Vec<Instruction<'a>>> {
    let mut labels = HashMap::new();
    let mut code: Vec<Instruction<'a>> = Vec::new();
    for line in lines {
        let line = line.trim();
        if let Some(label) = line.strip_suffix(':') {
            labels.insert(label, code.len());
        } else if !line.starts_with(['.', '#']) && !line.is_empty() {
            let (name, operands) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
            code.push((name, operands.trim()));
        }
    }
    let mut loops = Vec::new();
    for (end, (name, target)) in code.iter().enumerate() {
        let Some(&start) = labels.get(target).filter(|&&start| name.starts_with('j') && start <= end) else {
            continue;
        };
        let body = &code[start..=end];
        // Of one piece: what lies between two parts of a larger loop, as the last turn of an unrolled one may, is passed
        // over by a jump.
        let pieces = body[..body.len() - 1].iter().any(|(name, _)| *name == "jmp");
        // Innermost: no other backward jump inside.
        let inner = body[..body.len() - 1].iter().enumerate().any(|(k, (name, target))| {
            name.starts_with('j') && labels.get(target).is_some_and(|&t| (start..=start + k).contains(&t))
        });
        let fused =
            body.iter().filter(|(name, operands)| is_fused(name) && operands.contains(register)).count();
        let others = ["vadd", "vsub", "vmul", "vmax", "vmin", "vdiv"];
        let pure = !body.iter().any(|(name, _)| others.iter().any(|other| name.starts_with(other)));
        let broadcasts =
            body.iter().any(|(name, operands)| name.contains("broadcast") || operands.contains("{1to16}"));
        if !inner && !pieces && pure && broadcasts && fused >= 4 {
            loops.push(body.to_vec());
        }
    }
    loops
}

fn is_fused(name: &str) -> bool {
    name.starts_with("vfmadd") && name.ends_with("ps")
}

/// Whom a function of a level may call of this crate: others of its level, and what holds no vectors.
const CALLED: [&str; 3] = ["trampoline", "outlined", "input_rows"];

/// What a line calls, or ends in, that was left outside of the level: a function of this crate, or an instruction of the
/// standard library that has become one.
fn left_outside(line: &str) -> Option<&str> {
    let (name, target) = line.trim().split_once(char::is_whitespace)?;
    let target = target.trim();
    let ours = target.contains("fused_rnn") && !CALLED.iter().any(|called| target.contains(called));
    let jumps = name.starts_with("call") || name.starts_with("jmp");
    (jumps && !target.starts_with('.') && (ours || target.contains("core_arch"))).then_some(target)
}

#[test]
#[ignore = "compiles the library once more; run by .ci/run"]
#[cfg(target_arch = "x86_64")]
fn kernels_are_inlined_and_product_loops_do_not_spill() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or(root.join("target"), Into::into).join("assembly");
    let status = Command::new(env!("CARGO"))
        .current_dir(root)
        .args(["rustc", "--release", "--lib", "--quiet", "--target-dir"])
        .arg(&target)
        .args(["--", "--emit", "asm", "-C", "debuginfo=0"])
        .status()
        .expect("cargo");
    assert!(status.success());
    let folder = target.join("release/deps");
    let newest = std::fs::read_dir(&folder)
        .expect("the compiler's output")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "s"))
        .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("fused_rnn")))
        .max_by_key(|path| path.metadata().and_then(|data| data.modified()).expect("a time"))
        .expect("an assembly file");
    let assembly = std::fs::read_to_string(newest).expect("assembly");
    let lines: Vec<&str> = assembly.lines().collect();

    // Functions run from their label to the directive that states their size.
    let mut faults = Vec::new();
    let mut tallest = HashMap::new();
    let mut functions = 0;
    let mut start = None;
    for (k, line) in lines.iter().enumerate() {
        if (line.contains("trampoline") || line.contains("outlined")) && line.ends_with(':') {
            start = Some(k);
        }
        let Some(from) = start.filter(|_| line.trim_start().starts_with(".size")) else { continue };
        start = None;
        let level = if lines[from].contains("avx512") { "avx512" } else { "avx2" };
        let register = if level == "avx512" { "%zmm" } else { "%ymm" };
        functions += 1;
        for called in lines[from..k].iter().filter_map(|line| left_outside(line)) {
            faults.push(format!("{level}: calls {called}: {}", lines[from]));
        }
        for body in product_loops(&lines[from..k], register) {
            let fused = body.iter().filter(|(name, _)| is_fused(name)).count();
            let most = tallest.entry(level).or_insert(0);
            *most = fused.max(*most);
            let calls = body.iter().filter(|(name, _)| name.starts_with("call")).count();
            // (rbp is a register like any other here: the frame pointer is left out.)
            let spill = |operands: &str| operands.contains(register) && operands.contains("(%rsp");
            let spills = body.iter().filter(|(_, operands)| spill(operands)).count();
            if calls + spills > 0 {
                faults.push(format!(
                    "{level}: {fused} multiply-adds, {calls} calls, {spills} spills: {}",
                    lines[from]
                ));
            }
        }
    }
    println!("{functions} functions, most multiply-adds in a loop: {tallest:?}");
    // The tiles of the register budget are there: 6 x 4 and 3 x 4.
    assert_eq!(tallest.get("avx512"), Some(&24));
    assert_eq!(tallest.get("avx2"), Some(&12));
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}
