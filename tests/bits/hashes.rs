//! The hashes of the networks, and how they are made.

use fused_rnn::{Level, Precision};

/// The hash of each of the cells, on the levels that fuse multiply and add: of the ordinary networks, and of
/// those whose values lie about 1e-30, below which values count as zero.
const FUSED: [[u64; 5]; 2] = [
    [
        0x5172_18df_7de9_e266,
        0xd0df_2e47_a5c3_da4c,
        0x1d8d_d387_985f_a5f3,
        0x3b96_5341_9b89_70f6,
        0x4924_638c_650c_8578,
    ],
    [
        0xbec3_edf8_c80a_ae7e,
        0xf119_457f_2d11_a4be,
        0x0a2c_15a4_ee3c_d31e,
        0xab85_3e19_3026_b3ee,
        0x2eff_30b8_bc2b_55bf,
    ],
];
/// The same on the portable level.
const PORTABLE: [[u64; 5]; 2] = [
    [
        0x1865_3384_528e_2147,
        0xa1e0_3969_c807_b530,
        0x9cd8_01ba_5768_cf7c,
        0xc5b0_995e_0ba8_34a7,
        0x476c_1ae1_5fd1_5f85,
    ],
    [
        0xa932_28e7_ab57_559f,
        0x3fb3_487d_9022_e147,
        0xc068_4e7e_f925_7f2b,
        0x4d62_702d_09c2_ee0b,
        0xd886_52c7_99eb_4aef,
    ],
];

/// The hash of all networks but the large ones in other precisions: on the levels that fuse, and on the portable
/// one.
pub const PRECISIONS: [(Precision, [u64; 2]); 3] = [
    (Precision::Bf16Weights, [0xc701_3bfa_c6c4_1d58, 0x5149_6278_70c0_f892]),
    (Precision::Bf16, [0xa5ec_0a3b_d723_b95f, 0x133f_790c_6099_1e9e]),
    (Precision::Int8, [0xc15c_3adc_fcbc_0513, 0x9bf2_18df_66c6_9de4]),
];

/// The hashes on a level.
pub fn expected(level: Level) -> [[u64; 5]; 2] {
    if level == Level::Portable { PORTABLE } else { FUSED }
}

/// FNV-1a of 64 bits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Hash(pub u64);

impl Hash {
    pub const EMPTY: Hash = Hash(0xCBF2_9CE4_8422_2325);

    pub fn add(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x100_0000_01B3);
        }
    }

    pub fn of(values: &[f32]) -> Hash {
        let mut hash = Hash::EMPTY;
        for value in values {
            // The processor chooses which of two NaN comes out.
            let bits = if value.is_nan() { 0x7FC0_0000 } else { value.to_bits() };
            hash.add(&bits.to_le_bytes());
        }
        hash
    }
}
