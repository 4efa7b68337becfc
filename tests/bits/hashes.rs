//! The hashes of the networks, and how they are made.

use fused_rnn::{Level, Precision};
use std::fmt;

/// The hash of each of the cells, on the levels that fuse multiply and add: of the ordinary networks, and of
/// those whose values lie about 1e-30, below which values count as zero.
const FUSED: [[u64; 10]; 2] = [
    [
        0x5172_18df_7de9_e266,
        0xd0df_2e47_a5c3_da4c,
        0x1d8d_d387_985f_a5f3,
        0x3b96_5341_9b89_70f6,
        0x4924_638c_650c_8578,
        0x05bb_23ae_c513_6a19,
        0xfc45_1d13_9f1d_c8df,
        0x4ee3_fa34_d7c3_fdd7,
        0x0da6_a95d_cb04_9a12,
        0xc8f9_c500_333e_1840,
    ],
    [
        0xbec3_edf8_c80a_ae7e,
        0xf119_457f_2d11_a4be,
        0x0a2c_15a4_ee3c_d31e,
        0xab85_3e19_3026_b3ee,
        0x2eff_30b8_bc2b_55bf,
        0xdf0d_a7f2_edab_907f,
        0x5bf9_4736_6c02_a4da,
        0xa666_9246_8b3d_cf82,
        0x014a_1474_46ec_cc9e,
        0x8733_f872_6005_d860,
    ],
];
/// The same on the portable level.
const PORTABLE: [[u64; 10]; 2] = [
    [
        0x1865_3384_528e_2147,
        0xa1e0_3969_c807_b530,
        0x9cd8_01ba_5768_cf7c,
        0xc5b0_995e_0ba8_34a7,
        0x476c_1ae1_5fd1_5f85,
        0x0aeb_b897_f914_238c,
        0xdcf4_9176_96ec_ccda,
        0x7d9d_d016_a754_475c,
        0xcd4f_d70a_a135_0c4b,
        0xe705_629b_1ed9_dd89,
    ],
    [
        0xa932_28e7_ab57_559f,
        0x3fb3_487d_9022_e147,
        0xc068_4e7e_f925_7f2b,
        0x4d62_702d_09c2_ee0b,
        0xd886_52c7_99eb_4aef,
        0x23bb_b746_1c23_dddd,
        0x29a4_58de_ac17_d4ef,
        0xfae4_cb8d_ce00_2305,
        0x8fb5_c236_5d59_6fdd,
        0x948e_8c73_a56d_6ae2,
    ],
];

/// The hashes of all networks but the large ones in other precisions: on the levels that fuse, and on the
/// portable one; of the first cells together, and of each of the others.
pub const PRECISIONS: [(Precision, [[u64; 6]; 2]); 3] = [
    (
        Precision::Bf16Weights,
        [
            [
                0xc701_3bfa_c6c4_1d58,
                0xf016_201b_0f4c_bfd8,
                0x43ce_115b_8071_d5f9,
                0xaee5_bac6_6211_dafb,
                0xef13_f3c4_6ae3_8574,
                0x47a8_e70d_abcd_b59d,
            ],
            [
                0x5149_6278_70c0_f892,
                0xf5de_0656_8f2c_1257,
                0xd3ee_e486_a79a_5975,
                0x904a_882b_8192_9699,
                0xcddd_d00e_c31f_ed41,
                0xd6a2_4561_0cca_620f,
            ],
        ],
    ),
    (
        Precision::Bf16,
        [
            [
                0xa5ec_0a3b_d723_b95f,
                0x0d26_396d_8423_6761,
                0xd98b_99f5_b0f1_567a,
                0x93cc_c6db_e020_e1f8,
                0xe7ab_7f47_07ee_2d81,
                0x0472_9072_caa6_efb8,
            ],
            [
                0x133f_790c_6099_1e9e,
                0x2609_901c_5e37_9227,
                0x24de_6d6c_e28a_6398,
                0xd05f_746f_2f66_2c58,
                0x1345_7ac9_36d0_33f0,
                0x67f1_843c_d1db_5fa4,
            ],
        ],
    ),
    (
        Precision::Int8,
        [
            [
                0xc15c_3adc_fcbc_0513,
                0x01ed_06e5_f29a_0c14,
                0x2aff_d725_6cef_7745,
                0xa070_fb93_48d9_bb78,
                0xb6b6_456d_2e10_8a63,
                0x19e7_4332_c3ab_7bd7,
            ],
            [
                0x9bf2_18df_66c6_9de4,
                0xfd17_9a00_e038_fc25,
                0x22f9_05a3_3a06_ffeb,
                0x0e61_2fb8_c7e7_b38b,
                0x4fb4_c62d_119d_f2f3,
                0x8d98_77bc_14fa_94b2,
            ],
        ],
    ),
];

/// The hashes of the networks with heads: on the levels that fuse, and on the portable one.
pub const HEADS: [(Precision, [u64; 2]); 4] = [
    (Precision::F32, [0xb3ae_ac5b_4446_c200, 0x10a0_1ed4_459c_db38]),
    (Precision::Bf16Weights, [0x797a_831c_0a17_4260, 0x124b_5840_2adb_ff31]),
    (Precision::Bf16, [0x9208_bf6c_2a7b_9999, 0xd2fe_336d_eb85_ea76]),
    (Precision::Int8, [0x77f6_8529_800f_d891, 0x9e9d_aca5_4b7f_36c4]),
];

/// The hashes on a level.
pub fn expected(level: Level) -> [[u64; 10]; 2] {
    if level == Level::Portable { PORTABLE } else { FUSED }
}

/// FNV-1a of 64 bits. It is shown as it stands in the tables above.
#[derive(Clone, Copy, PartialEq)]
pub struct Hash(pub u64);

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d] = [48, 32, 16, 0].map(|place| self.0 >> place & 0xFFFF);
        write!(f, "0x{a:04x}_{b:04x}_{c:04x}_{d:04x}")
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

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
