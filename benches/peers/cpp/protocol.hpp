// What the C++ peers' workers share: the protocol (../README.md), shapes, how a call is timed, which variant is best.
#pragma once
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <functional>
#include <iostream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace peer {

using Floats = std::vector<float>;

// This peer does not do such a shape or mode.
struct Skip : std::runtime_error {
    using std::runtime_error::runtime_error;
};

struct Shape {
    std::string cell;
    int batch, steps, input, hidden, layers, directions;

    static Shape parse(const std::string& text) {
        Shape s{};
        char cell[16], bi[4] = "";
        int found = std::sscanf(text.c_str(), "%15s B%d T%d I%d H%d L%d %3s", cell, &s.batch, &s.steps, &s.input,
                                &s.hidden, &s.layers, bi);
        if (found < 6) throw std::runtime_error("shape " + text + ": expected, say, lstm B1 T1 I8 H8 L1");
        s.cell = cell;
        s.directions = std::string(bi) == "bi" ? 2 : 1;
        return s;
    }
    int gates() const { return cell == "lstm" ? 4 : cell.rfind("gru", 0) == 0 ? 3 : 1; }
    int layer_input(int layer) const { return layer ? hidden * directions : input; }
};

// One layer in one direction, in this crate's form: weights (G * H, I) and (G * H, H), biases (G * H).
struct Cell {
    const float *weight_ih, *weight_hh, *bias_ih, *bias_hh;
};

inline std::vector<Cell> split(const Shape& s, const float* at) {
    std::vector<Cell> cells;
    size_t rows = size_t(s.gates()) * s.hidden;
    for (int layer = 0; layer < s.layers; layer++)
        for (int direction = 0; direction < s.directions; direction++) {
            Cell c;
            c.weight_ih = at, at += rows * s.layer_input(layer);
            c.weight_hh = at, at += rows * s.hidden;
            c.bias_ih = at, at += rows;
            c.bias_hh = at, at += rows;
            cells.push_back(c);
        }
    return cells;
}

// One way in which a peer can run a shape: what is timed, and what it computes, in our layout.
struct Variant {
    std::string label;
    std::function<void()> call;
    std::function<Floats()> results;
};

struct Times {
    double median, least;
    size_t samples;
};

// As benches/common/timing.rs has it.
template <class Call>
Times measure(double seconds, size_t at_least, Call&& call) {
    using clock = std::chrono::steady_clock;
    auto since = [](clock::time_point start) { return std::chrono::duration<double>(clock::now() - start).count(); };
    call();
    auto start = clock::now();
    call();
    int block = std::max(1, int(std::ceil(20e-6 / std::max(since(start), 1e-9))));
    std::vector<double> samples;
    start = clock::now();
    for (;;) {
        auto begin = clock::now();
        for (int k = 0; k < block; k++) call();
        samples.push_back(since(begin) / block);
        double elapsed = since(start);
        if ((elapsed >= seconds && (samples.size() >= at_least || elapsed >= 10 * seconds)) || samples.size() >= 100000)
            break;
    }
    std::sort(samples.begin(), samples.end());
    return {samples[samples.size() / 2], samples[0], samples.size()};
}

// The value of a key of a flat object of strings and numbers.
inline std::string field(const std::string& line, const std::string& key) {
    size_t at = line.find("\"" + key + "\":");
    if (at == std::string::npos) throw std::runtime_error("no " + key);
    at = line.find_first_not_of(' ', at + key.size() + 3);
    if (line[at] == '"') return line.substr(at + 1, line.find('"', at + 1) - at - 1);
    return line.substr(at, line.find_first_of(",}", at) - at);
}

inline std::string quoted(std::string text) {
    for (char& c : text)
        if (c == '"' || c == '\\' || c < ' ') c = '\'';
    return "\"" + text + "\"";
}

inline Floats read_floats(const std::string& path) {
    std::ifstream file(path, std::ios::binary | std::ios::ate);
    if (!file) throw std::runtime_error(path + ": cannot be read");
    Floats values(size_t(file.tellg()) / sizeof(float));
    file.seekg(0);
    file.read(reinterpret_cast<char*>(values.data()), std::streamsize(values.size() * sizeof(float)));
    return values;
}

// Makes the variants of a shape from the input (T, B, I) and the parameters. Both outlive the variants.
using Prepare = std::function<std::vector<Variant>(const Shape&, const std::string& mode, const float* x,
                                                   const std::vector<Cell>&)>;

// Answers lines until the input ends.
inline void serve(const std::string& name, const std::string& version, const std::string& settings, Prepare prepare) {
    std::printf("{\"peer\": %s, \"version\": %s, \"settings\": %s}\n", quoted(name).c_str(), quoted(version).c_str(),
                quoted(settings).c_str());
    std::fflush(stdout);
    Floats data;
    Variant chosen;
    for (std::string line; std::getline(std::cin, line);) {
        try {
            std::string command = field(line, "cmd");
            if (command == "prepare") {
                chosen = {};
                Shape s = Shape::parse(field(line, "shape"));
                data = read_floats(field(line, "data"));
                const float* parameters = data.data() + size_t(s.steps) * s.batch * s.input;
                std::vector<Variant> variants = prepare(s, field(line, "mode"), data.data(), split(s, parameters));
                double best = 1e300;
                for (int round = 0; round < (variants.size() > 1 ? 2 : 1); round++)
                    for (Variant& variant : variants) {
                        double median = variants.size() > 1 ? measure(0.1, 1, variant.call).median : 0.0;
                        if (median < best) best = median, chosen = variant;
                    }
                Floats results = chosen.results();
                std::ofstream out(field(line, "out"), std::ios::binary);
                out.write(reinterpret_cast<const char*>(results.data()), std::streamsize(results.size() * sizeof(float)));
                std::printf("{\"ok\": true, \"variant\": %s}\n", quoted(chosen.label).c_str());
            } else if (command == "time" && chosen.call) {
                Times t = measure(std::stod(field(line, "seconds")), 3, chosen.call);
                std::printf("{\"med_us\": %.4f, \"min_us\": %.4f, \"samples\": %zu}\n", t.median * 1e6, t.least * 1e6,
                            t.samples);
            } else {
                throw std::runtime_error("cmd: expected prepare, then time, got " + command);
            }
        } catch (const Skip& skip) {
            std::printf("{\"skip\": %s}\n", quoted(skip.what()).c_str());
        } catch (const std::exception& error) {
            std::printf("{\"error\": %s}\n", quoted(error.what()).c_str());
        }
        std::fflush(stdout);
    }
}

}  // namespace peer
