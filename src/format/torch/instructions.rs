//! Instructions of pickle that no state dict has, by their names, for errors.
//!
//! Source: Python's documentation of `pickletools`.

/// What an instruction is that the machine does not know.
pub(super) fn unknown(code: u8) -> String {
    let of_objects = "which makes an object of a class";
    let of_text = "of protocol 0, which torch.save does not write";
    let (name, what) = match code {
        b'i' => ("INST", of_objects),
        b'o' => ("OBJ", of_objects),
        0x81 => ("NEWOBJ", of_objects),
        0x92 => ("NEWOBJ_EX", of_objects),
        0x82..=0x84 => ("EXT", of_objects),
        b'F' => ("FLOAT", of_text),
        b'I' => ("INT", of_text),
        b'L' => ("LONG", of_text),
        b'P' => ("PERSID", of_text),
        b'S' => ("STRING", of_text),
        b'V' => ("UNICODE", of_text),
        b'g' => ("GET", of_text),
        b'p' => ("PUT", of_text),
        b'2' => ("DUP", "which torch.save does not write"),
        0x8B => ("LONG4", "of an integer of thousands of bits"),
        0x8F | 0x90 => ("EMPTY_SET or ADDITEMS", "which makes a set"),
        0x91 => ("FROZENSET", "which makes a set"),
        0x96 => ("BYTEARRAY8", "which makes bytes"),
        0x97 | 0x98 => ("NEXT_BUFFER or READONLY_BUFFER", "whose bytes lie outside of the pickle"),
        _ => return format!("{code:#04x}, which is no instruction of pickle: the file is damaged"),
    };
    format!("the instruction {name} ({code:#04x}) {what}")
}
