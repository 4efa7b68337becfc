"""Mutants that leave all results as they are, and why no test can notice them. Asked of survivors alone."""

import re

# (what the mutant's name and its line match, why)
EXPLAINED = [
    # Speed.
    (r"in select \| (if to - from <=|Ordering::Less => from)", "when a selection ends by a sort"),
    (r"- with / in keep_first \| select\(indices", "either of two places divides what is kept from the rest"),
    (r"- with / in keep_first \| \(gathered, limit\)", "one more passes a limit that is one place further"),
    (r"- with / in select \| for at in", "an index does not come before itself"),
    (r"in_turn \| (let half = threads|sequence::join)", "how many threads each of two directions has"),
    (
        r"(&& with \|\||< with <=|\+ with \*) in .*in_turn \| if layer \+ 1 < layers && self\.dropout",
        "dropout of no share, or of the grid of a last layer, which is empty, changes nothing",
    ),
    (r"(\+ with \*|< with <=) in .*wavefront \| let above", "a last layer writes to no grid between layers"),
    (r"- with [+/] in .*wavefront \| over_stages", "stages after the last, in which no layer has a chunk"),
    (r"delete field may_be_tiny", "inputs without tiny values are searched for them"),
    (r"> with >= in keep_first", "all of so many are selected, or all are left"),
    (r"prefetch|Part::|fetches_next|field quiet|index < quiet|saturating_sub\(quiet\)", "what is prefetched"),
    (r"\(tile \+ 1\) \* to\.next|step_by\(LINE / I::LANES\)", "what is prefetched"),
    (r">::add \| if left > 0 \{|let whole = start == 0|let ahead = if pace == 0", "what is prefetched"),
    (r"replace <impl Gradient for \w+<'_>>::rows|let of_panel = Tile", "what is prefetched"),
    (r"products \| (if self.first && self.at.records.is_step|let \(unit, units\) =)", "what is prefetched"),
    (r"replace is_finished_once -> bool with false", "whether the phases of a row are finished once"),
    (
        r"delete ! in SingleRow<'a, 'b>::make|SingleRow<'a, 'b>::run \| let n = if down",
        "in which direction a step goes through its weights: always up on the portable level, where rows that"
        " are finished once have fewer",
    ),
    (
        r"replace zigzag -> bool|in zigzag\b|const (NEAR|FAR)\b",
        "in which direction a step goes through its weights",
    ),
    (r"if const \{ R > I::HEIGHTS", "in which order a kernel loads the operands of a word"),
    (r"guard heads == 1 with false in RowsOfPhase::convert", "how many rows are converted at a time"),
    (r"replace < with <= in load \| if count < I::LANES", "in which way a whole vector is loaded"),
    (r">::add \| while rest >= together", "how many words of depth a loop takes at a time: here one"),
    (r"multiply_add \| w\[u\]\[g\] = unsafe", "tiles of more rows than the portable level has"),
    (
        r"let (narrow|widest) =|replace height -> usize with 1|left >= widest|left >= 2 && gates"
        r"|let blocks = widest_of",
        "how many blocks and rows a tile takes",
    ),
    (r"replace is_taken -> bool with true", "tiles that are never asked for are in the program"),
    (r"(> with >=|\+ with \*) in panel .*> SCRATCH|delete match arm 1 in sweep", "how many tiles wait"),
    (
        r"run = like|takes_runs -> bool with false|replace > with < in panel .*if runs",
        "how many tiles are multiplied in a run",
    ),
    (r"Work<'_, G>>::sums -> usize with 1", "how many tiles are multiplied in a run, as none is finished"),
    (r"> with >= in <impl Tiles for Work.*blocks_of_run", "a run of whole blocks, or its tiles one by one"),
    (r"> with >= in <impl Tiles for Work.*one.blocks", "whole blocks, or by way of a copy"),
    (r"let readers =", "whether a product is cut into gates"),
    (r"replace absent with", "a tile that no sweep takes"),
    (r"is_by_row", "how many blocks of a row are finished together"),
    (r"replace (\* with /|== with !=) in Columns.*gather \| (.*depth_stride == 1|done = )",
     "weights that are not transposed by vectors are gathered one by one"),
    (r"of_products", "weights of bf16 have the same sums in either form"),
    (r"in 0\.\.UNITS - 1", "units that are not there are left out in any case"),
    (r"vnni::of", "kernels of x86-64 with the bits of the others"),
    (r"replace Tiles::finish ", "what no sweep asks for"),
    (r"joins -> bool with false|delete ! in .*::joins", "each of two vectors has a sum, or both have one"),
    (r"heads.are_one\(\) with false in pack_states", "a row is all of its only head"),
    (r"> with >= in .*push_segments \| if part.head > 0", "the first head begins on a line"),
    (r"> with >= in .*push_segments \| if inputs.start > 0", "a segment of nothing is added"),
    (
        r"replace CellTile<'a, I, P>::blocks -> usize with 1",
        "how often the moments of a row are found",
    ),
    (r"chunk_steps", "whether and how far input products are done beforehand"),
    (
        r"const (MAX_ROWS|ROWS_OF_BYTES|INPUTS_PER_ROW|WORTH_A_PIECE)",
        "whether and how far input products are done beforehand",
    ),
    (r"chunk_places|const CHUNK_BYTES", "where chunks are cut"),
    (r"in next_piece \| if 4 \* few", "where pieces end"),
    (
        r"replace \+ with \* in load |delete field rows from struct Load|in wavefront_nanoseconds"
        r"|replace Weights::input_bytes",
        "how threads share the work",
    ),
    (r"replace > with (<|>=) in Stages<'_>::wait .*patience", "when helpers are sent home"),
    (r"let own = member \*", "which share a member claims first"),
    (r"replace queue |in queue \| if threads_of_pool", "nobody helps"),
    (r"< with <= in Lately::are_awake", "how long threads count as awake, at the very limit"),
    (r"in Lobby::put \| if self.asking", "how long a caller waits for helpers that ask what others want"),
    (r"in Lobby::linger \| (let mut stays = look|let most = |if offer.is_none\(\) && most)",
     "how long a helper waits for more"),
    (r"if look < SPINNING_LOOKS|if round < SPINS|in 0..SPINS \+ YIELDS", "how a thread waits"),
    (r"in Stages<'_>::attend .*PART_LOST", "how long helpers are waited for"),
    (r"replace == with != in Stages<'_>::call|replace && with \|\| in Stages<'_>::attend", "nobody helps"),
    (r"replace > with >= in State::set_c", "nothing is copied to where there is none"),
    (r"replace > with .* in Packed::pack", "on which thread rows are packed"),
    (
        r"in too_little|saved \* steps as f64|2 \* WORTH_A_THREAD",
        "whether threads are woken, at the very limit",
    ),
    (
        r"replace < with <= in share .*while cut|replace - with . in share",
        "half of all never reaches into the last row",
    ),
    (r"Pattern<'_>::is_whole -> bool with false", "a way around the general one"),
    (r"> with >= in .*::stage \| \(step.checked|step \+ 1 < self.steps", "no row has a step past its last"),
    (r"is_narrow -> bool with false|< with (==|<=) in is_narrow", "another way to the same bits"),
    (
        r"match inputs - input|k \* I::LANES \+ input",
        "with four lanes there are fewer than four inputs, and one turn",
    ),
    (
        r"I::LANES.min\(units - \(unit \+ v \* I::LANES\)\)",
        "several vectors are whole, and the last in part is alone",
    ),
    (r"zoneout.p\[plane\] > 0.0", "a plane without zoneout takes all of what is new, by either way"),
    (r"if with_options && self.new_cell_state\(\) != C", "the same plane is written twice"),
    (r"Rows::in_order -> bool with false", "dropout before all chunks instead of before each"),
    # Memory.
    (r"SingleRow<'a, 'b>::make \| let to = phase.sums_of", "each step moves the sums to their place"),
    (
        r"SingleRow<'a, 'b>::run \| (if \*count == 0|unsafe \{ sums.write_bytes)",
        "sums that a phase without products overwrites, so that it reads no memory that nobody wrote",
    ),
    (r"Zoneout::planes", "a plane that is there and not used"),
    (r"map\(\|row\| 1 \+|reserve\(&mut self.times, batch \* steps\)", "how much is reserved beforehand"),
    (r"reserve\(&mut self.starts|starts.resize|reserve\(&mut self.places", "how much is reserved beforehand"),
    (r"Packed::reserve \| (if shape.hidden_gates|panel.reserve)", "how much is reserved beforehand"),
    (r"FRONT.saturating_add\(width", "a row with more room than it needs"),
    (r"from_raw_parts_mut\(to, LINE / 2\)", "how long a slice is of which half a line is written"),
    (r"replace < with <= in pairs \| while at < count", "zeros before the next row, in unused memory"),
    (r"OutOfMemory \{ bytes: count \* 64 \}", "asked for by a test for addresses of 64 bits alone"),
    # The same by arithmetic.
    (r"replace \^ with \| .*rotate_left", "the bits of a step and of a unit lie apart"),
    (r"replace \| with \^ in pair ", "the halves of a word have no bit in common"),
    (r"replace \+ with - .*\| .*D[AV] \+ (I|R_),", "zero is added"),
    (r"NEAREST \+ f32::from\(OFFSET\)", "zero is added on the portable level"),
    (r"weights_of .*wrapping_add\(first|replace / with \* in Panel::words_of",
     "panels that are taken in parts have one gate, and words of one input"),
    (r"if m == 0 \|\| n == 0", "an empty product is left alone by matrixmultiply as well"),
]


def explained(mutant):
    """Why no test can notice this mutant, where that is so."""
    line = mutant["line"]
    place = f"{mutant['name']} | {line.strip()}"
    return next((why for what, why in EXPLAINED if re.search(what, place)), None)
