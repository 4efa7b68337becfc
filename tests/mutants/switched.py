"""The mutants of a file, all in one source, each behind its switch; and which of them an error of the
compiler is about.

    /*[7,8*/ ... if crate::mutant(7) { /*<7*/ l - r /*7>*/ } else ... /*7,8]*/
"""

import re

import tree_sitter
import tree_sitter_rust

ARITHMETIC = {"+", "-", "*", "/", "%", "&", "|", "^", "<<", ">>"}
COMPARISONS = {"==", "!=", "<", ">", "<=", ">="}


class Switched:
    """A file of the library with all mutants of it in it, each behind its switch."""

    def __init__(self, path, source, mutants):
        self.path = path
        self.source = source
        self.lines = [0]
        for line in source.splitlines(keepends=True):
            self.lines.append(self.lines[-1] + len(line))
        language = tree_sitter.Language(tree_sitter_rust.language())
        self.tree = tree_sitter.Parser(language).parse(source)
        # Mutants by the node that they change.
        self.at = {}
        self.left_out = set()
        for number, mutant in mutants.items():
            node = self.node(mutant)
            # (Two returns are one type too many where that has no name.)
            unnamed = mutant["genre"] == "FnValue" and "impl " in mutant["function"]["return_type"]
            if node is None or constant(node) or unnamed or takes_all(node):
                self.left_out.add(number)
            else:
                self.at.setdefault(node.id, []).append((number, mutant["replacement"]))

    def place(self, point):
        line = self.source[self.lines[point["line"] - 1]:self.lines[point["line"]]].decode()
        return self.lines[point["line"] - 1] + len(line[:point["column"] - 1].encode())

    def node(self, mutant):
        """What is to be wrapped: an expression, the body of a function, the pattern of an arm, a field."""
        start, end = self.place(mutant["span"]["start"]), self.place(mutant["span"]["end"])
        # (The span of a field has its comma.)
        end = start if mutant["genre"] == "StructField" else end
        node = self.tree.root_node.descendant_for_byte_range(start, end)
        kinds = {
            "BinaryOperator": ("binary_expression", "compound_assignment_expr"),
            "UnaryOperator": ("unary_expression",),
            "FnValue": ("function_item",),
            "MatchArm": ("match_arm",),
            "MatchArmGuard": ("match_pattern",),
            "StructField": ("field_initializer", "shorthand_field_initializer"),
        }.get(mutant["genre"], ())
        while node is not None and node.type not in kinds:
            node = node.parent
        return node.child_by_field_name("body") if node is not None and node.type == "function_item" else node

    def text(self, without):
        """The file with its mutants but those `without`."""
        return self.emit(self.tree.root_node, without).decode()

    def plain(self, node, without):
        """The node with what is mutated inside of it."""
        out, at = b"", node.start_byte
        for child in node.children:
            out += self.source[at:child.start_byte] + self.emit(child, without)
            at = child.end_byte
        return out + self.source[at:node.end_byte]

    def emit(self, node, without):
        here = [(number, by.encode()) for number, by in self.at.get(node.id, []) if number not in without]
        if not here:
            return self.plain(node, without)

        def field(name):
            return self.emit(node.child_by_field_name(name), without)

        def choice(original, changed):
            return b"".join(
                b"if crate::mutant(%d) { /*<%d*/ %s /*%d>*/ } else " % (number, number, changed(by), number)
                for number, by in here
            ) + b"{ " + original + b" }"

        numbers = b",".join(b"%d" % number for number, _ in here)
        if node.type == "binary_expression":
            operator = node.child_by_field_name("operator").text
            left, right = field("left"), field("right")
            if operator.decode() in ARITHMETIC | COMPARISONS:
                operands = b"(%s), (%s)" if operator.decode() in ARITHMETIC else b"&(%s), &(%s)"
                body = choice(b"l " + operator + b" r", lambda by: b"l " + by + b" r")
                changed = b"match (" + operands % (left, right) + b") { (l, r) => " + body + b" }"
            else:
                changed = choice(left + operator + right, lambda by: left + by + right)
            changed = b"(" + changed + b")"
        elif node.type == "compound_assignment_expr":
            operator, left, right = node.child_by_field_name("operator").text, field("left"), field("right")
            assign = choice(left + operator + b" r", lambda by: left + by + b" r")
            changed = b"match " + right + b" { r => " + assign + b" }"
        elif node.type == "unary_expression":
            operator, operand = node.children[0].text, self.emit(node.children[1], without)
            changed = (
                b"(match (" + operand + b") { v => " + choice(operator + b"v", lambda by: by + b"v") + b" })"
            )
        elif node.type in ("field_initializer", "shorthand_field_initializer"):
            # Without the field it is that of the base.
            base = next(child for child in node.parent.children if child.type == "base_field_initializer")
            name, value = node, self.plain(node, without)
            if node.type == "field_initializer":
                name, value = node.child_by_field_name("field"), field("value")
            of_base = b"(" + self.plain(base.children[1], without) + b")." + name.text
            changed = name.text + b": " + choice(value, lambda by: of_base)
        elif node.type == "match_pattern":
            pattern = self.source[node.start_byte:node.child_by_field_name("condition").start_byte]
            condition = field("condition")
            changed = pattern + b"(" + choice(condition, lambda by: by) + b")"
        elif node.type == "match_arm":
            pattern = node.child_by_field_name("pattern")
            off = b"!crate::mutant(%d)" % here[0][0]
            condition = pattern.child_by_field_name("condition")
            head = self.emit(pattern, without)
            if condition is None:
                head += b" if " + off
            else:
                head = self.source[pattern.start_byte:condition.start_byte] + off + b" && (" + self.emit(
                    condition, without) + b")"
            changed = head + b" => " + field("value") + b","
        else:
            body = self.plain(node, without)
            early = b"".join(
                b"if crate::mutant(%d) { /*<%d*/ return %s; /*%d>*/ } " % (number, number, by, number)
                for number, by in here
            )
            changed = b"{ " + early + body[1:]
            # An error elsewhere in a body is not of its mutants.
            return changed
        return b"/*[" + numbers + b"*/" + changed + b"/*" + numbers + b"]*/"


def constant(node):
    """Whether the node is in a place where nothing can be asked at run time."""
    kinds = {"const_item", "static_item", "const_parameter", "array_type", "type_arguments", "const_block"}
    while node is not None:
        if node.type in kinds:
            return True
        if node.type == "function_item":
            modifiers = [child for child in node.children if child.type == "function_modifiers"]
            return any(b"const" in modifier.text for modifier in modifiers)
        node = node.parent
    return False


def takes_all(node):
    """Whether the node is the arm of a match that takes whatever is left: a match cannot do without it."""
    pattern = node.child_by_field_name("pattern") if node.type == "match_arm" else None
    return pattern is not None and re.fullmatch(rb"_|[a-z]\w*", pattern.text) is not None


def blamed(text, start):
    """The mutants that an error at this byte of a file is about: of the branch that it is in, or else of the
    place."""
    before, after = text[:start], text[start:]
    best = (-1, set())
    for opened in re.finditer(rb"/\*<(\d+)\*/", before):
        if b"/*%s>*/" % opened[1] in after and opened.start() > best[0]:
            if b"/*%s>*/" % opened[1] not in before[opened.end():]:
                best = (opened.start(), {int(opened[1])})
    for opened in re.finditer(rb"/\*\[([\d,]+)\*/", before):
        if b"/*%s]*/" % opened[1] not in before[opened.end():] and opened.start() > best[0]:
            best = (opened.start(), {int(number) for number in opened[1].split(b",")})
    return best[1]
