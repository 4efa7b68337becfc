//! The size of the first-level data cache, which decides in which order a single row reads its weights.

use std::sync::OnceLock;

/// The size of most cores, for machines that do not report it.
const USUAL: usize = 32 << 10;

/// The bytes of a core's first-level data cache.
#[inline(always)]
pub(crate) fn first_level() -> usize {
    static BYTES: OnceLock<usize> = OnceLock::new();
    *BYTES.get_or_init(|| reported().filter(|bytes| (8 << 10..=1 << 20).contains(bytes)).unwrap_or(USUAL))
}

/// The size that CPUID reports: leaf 4 of Intel's manual (volume 2, CPUID), and leaf 8000001D of AMD's
/// (volume 3, appendix E), which have the same form.
#[cfg(all(target_arch = "x86_64", not(miri)))]
fn reported() -> Option<usize> {
    use std::arch::x86_64::__cpuid_count;

    const LEAVES: [u32; 2] = [4, 0x8000_001D];
    const DATA: u32 = 1;
    // SAFETY: every 64-bit processor has CPUID. (A safe function since some Rust after 1.89.)
    #[allow(unused_unsafe)]
    let of = |leaf, index| unsafe { __cpuid_count(leaf, index) };
    // The highest bit of a leaf is its range. The first leaf of a range gives, in eax, the last leaf that
    // exists.
    let caches = LEAVES
        .into_iter()
        .filter(|&leaf| of(leaf & 1 << 31, 0).eax >= leaf)
        .flat_map(|leaf| (0..8).map(move |index| of(leaf, index)).take_while(|cache| cache.eax & 31 != 0));
    caches.into_iter().find(|cache| cache.eax & 31 == DATA && cache.eax >> 5 & 7 == 1).map(|cache| {
        let [ways, partitions, line] = [cache.ebx >> 22, cache.ebx >> 12 & 1023, cache.ebx & 4095];
        [ways, partitions, line, cache.ecx].into_iter().map(|less_one| less_one as usize + 1).product()
    })
}

/// Other architectures are not asked. (Miri interprets no CPUID.)
#[cfg(any(not(target_arch = "x86_64"), miri))]
fn reported() -> Option<usize> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_level_is_what_the_system_says() {
        let bytes = first_level();
        assert!((8 << 10..=1 << 20).contains(&bytes), "{bytes}");
        let file = "/sys/devices/system/cpu/cpu0/cache/index0/";
        let read = |name: &str| std::fs::read_to_string(format!("{file}{name}")).ok();
        let (Some(kind), Some(size)) = (read("type"), read("size")) else { return };
        if cfg!(all(target_arch = "x86_64", not(miri))) && kind.trim() == "Data" {
            assert_eq!(format!("{}K", bytes >> 10), size.trim());
        }
    }
}
