// oneDNN called directly: its recurrent primitives, weights reordered beforehand to the layout that each asks for.
//
// Variants, the fastest of which is taken: the inference descriptor and the training descriptor run forward, which
// choose different implementations (brgemm and gemm; the second is often better for one row); and where layers have
// inputs of their own size, one primitive for all layers or one for each.
//
// Layouts: sequences tnc = (T, B, C), states ldnc, weights (L, D, in, gates, H) in ldigo before the reorder, bias ldgo.
// Precision (PEER_PRECISION): bf16 has sequences, states and weights in bf16, biases and c in f32. int8 has sequences
// and h in u8, one scale for both, 127 over the largest of x and 1, around 128; weights in s8 with a scale for each row,
// 127 over its largest; the last outputs and c in f32.
//
// oneDNN's gates: LSTM i, f, g, o as ours; GRU z, r, n. Its plain GRU resets before the product, lbr_gru after it, with
// a fourth bias for the recurrent half of n.
#include "protocol.hpp"

#include <dnnl.hpp>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <unordered_map>
#ifdef __linux__
#include <sched.h>
#endif

using namespace dnnl;
using peer::Floats, peer::Shape, peer::Skip, peer::Variant;
using tag = memory::format_tag;
using md = memory::desc;

namespace {

engine& cpu() {
    static engine e(engine::kind::cpu, 0);
    return e;
}
stream& queue() {
    static stream s(cpu());
    return s;
}

using type = memory::data_type;

const std::string precision = std::getenv("PEER_PRECISION") ? std::getenv("PEER_PRECISION") : "f32";
// Of sequences and h, and of weights.
const type of_data = precision == "bf16" ? type::bf16 : precision == "int8" ? type::u8 : type::f32;
const type of_weights = precision == "bf16" ? type::bf16 : precision == "int8" ? type::s8 : type::f32;

md typed(memory::dims dims, type t, tag layout) { return md(dims, t, layout); }
md plain(memory::dims dims, tag t) { return typed(dims, type::f32, t); }

// Version 3 has queries where version 2 has functions of other names.
memory::dims dims_of(const md& d) {
#if DNNL_VERSION_MAJOR >= 3
    return d.get_dims();
#else
    return d.dims();
#endif
}
type type_of(const md& d) {
#if DNNL_VERSION_MAJOR >= 3
    return d.get_data_type();
#else
    return d.data_type();
#endif
}
// As plain floats: states and sequences.
md widened(const md& d) { return plain(dims_of(d), dims_of(d).size() == 4 ? tag::ldnc : tag::tnc); }

float* values(const memory& m) { return static_cast<float*>(m.get_data_handle()); }

memory zeros(const md& d) {
    memory m(d, cpu());
    std::memset(m.get_data_handle(), 0, d.get_size());
    return m;
}

memory reordered(const memory& from, const md& to, const primitive_attr& attr = {}) {
    if (from.get_desc() == to) return from;
    memory m = zeros(to);
    reorder(from, m, attr).execute(queue(), const_cast<memory&>(from), m);
    queue().wait();
    return m;
}

// What the numbers of x and h are multiplied by, and what is added, where they are u8.
struct Quantities {
    float scale = 1, shift = 0;

    Floats from(const memory& m) const {
        md d = m.get_desc();
        memory wide = reordered(m, widened(d));
        const float* at = values(wide);
        Floats all(at, at + wide.get_desc().get_size() / sizeof(float));
        if (type_of(d) == type::u8)
            for (float& value : all) value = (value - shift) / scale;
        return all;
    }
    void to(const memory& m, const float* from) const {
        md d = m.get_desc();
        memory wide = zeros(widened(d));
        size_t count = wide.get_desc().get_size() / sizeof(float);
        bool bytes = type_of(d) == type::u8;
        for (size_t k = 0; k < count; k++) values(wide)[k] = bytes ? from[k] * scale + shift : from[k];
        reorder(wide, m).execute(queue(), wide, const_cast<memory&>(m));
        queue().wait();
    }
    // Zeros.
    void clear(const memory& m) const {
        bool bytes = type_of(m.get_desc()) == type::u8;
        std::memset(m.get_data_handle(), bytes ? int(shift) : 0, m.get_desc().get_size());
    }
};

// A primitive descriptor from the arguments of an operation: version 2 puts a descriptor in between.
template <class P, class... A>
typename P::primitive_desc forward_desc(const primitive_attr& attr, A... a) {
#if DNNL_VERSION_MAJOR >= 3
    return typename P::primitive_desc(cpu(), a..., attr);
#else
    return typename P::primitive_desc(typename P::desc(a...), attr, cpu());
#endif
}
template <class P, class H, class... A>
typename P::primitive_desc backward_desc(const H& hint, A... a) {
#if DNNL_VERSION_MAJOR >= 3
    return typename P::primitive_desc(cpu(), a..., hint);
#else
    return typename P::primitive_desc(typename P::desc(a...), cpu(), hint);
#endif
}

using Arguments = std::unordered_map<int, memory>;

// Some layers in one primitive.
struct Part {
    int first, layers;
    primitive forward, backward;
    Arguments forward_arguments, backward_arguments;
    md weights_layer, weights_iter;  // plain
    memory d_layer, d_iter, d_bias;
};

struct Network {
    Shape s;
    bool training, step;
    std::string implementation;
    std::vector<Part> parts;
    std::vector<memory> sequences, gradients;  // before each part, and after the last
    Floats inputs;
    std::vector<memory> states;
    Quantities quantities;

    // Our gate of each of oneDNN's.
    std::vector<int> order() const {
        if (s.cell == "lstm") return {0, 1, 2, 3};
        return s.gates() == 3 ? std::vector<int>{1, 0, 2} : std::vector<int>{0};
    }
    int biases() const { return s.cell == "gru" ? 4 : s.gates(); }

    Network(const Shape& s, const std::string& mode, bool training_descriptor, bool fused, const float* x,
            const std::vector<peer::Cell>& cells)
        : s(s), training(mode == "train"), step(mode == "step") {
        int steps = step ? 1 : s.steps, outputs = s.hidden * s.directions;
        inputs.assign(x, x + size_t(s.steps) * s.batch * s.input);
        if (precision == "int8") {
            float largest = 1;
            for (float value : inputs) largest = std::max(largest, std::fabs(value));
            quantities = {127 / largest, 128};
        }
        auto sequence = [&](int width) { return typed({steps, s.batch, width}, of_data, tag::tnc); };
        int in_each = fused ? s.layers : 1;
        for (int first = 0; first < s.layers; first += in_each) sequences.push_back(zeros(sequence(s.layer_input(first))));
        bool last_in_f32 = precision == "int8";
        sequences.push_back(zeros(last_in_f32 ? plain({steps, s.batch, outputs}, tag::tnc) : sequence(outputs)));
        quantities.to(sequences[0], x);
        if (training) {
            for (const memory& m : sequences) gradients.push_back(zeros(plain(dims_of(m.get_desc()), tag::tnc)));
            std::fill_n(values(gradients.back()), size_t(steps) * s.batch * outputs, 1.0f);
        }
        auto prop = training || training_descriptor ? prop_kind::forward_training : prop_kind::forward_inference;
        for (int first = 0; first < s.layers; first += in_each) {
            Part part;
            part.first = first, part.layers = in_each;
            make(part, prop, cells, parts.size());
            parts.push_back(std::move(part));
        }
    }

    void make(Part& p, prop_kind prop, const std::vector<peer::Cell>& cells, size_t k) {
        int L = p.layers, D = s.directions, I = s.layer_input(p.first), H = s.hidden, G = s.gates();
        p.weights_layer = plain({L, D, I, G, H}, tag::ldigo), p.weights_iter = plain({L, D, H, G, H}, tag::ldigo);
        memory layer = zeros(p.weights_layer), iter = zeros(p.weights_iter);
        memory bias = zeros(plain({L, D, biases(), H}, tag::ldgo));
        for (int c = 0; c < L * D; c++) {
            const peer::Cell& cell = cells[p.first * D + c];
            for (int g = 0; g < G; g++)
                for (int h = 0; h < H; h++) {
                    int row = order()[g] * H + h;
                    for (int i = 0; i < I; i++)
                        values(layer)[((size_t(c) * I + i) * G + g) * H + h] = cell.weight_ih[size_t(row) * I + i];
                    for (int i = 0; i < H; i++)
                        values(iter)[((size_t(c) * H + i) * G + g) * H + h] = cell.weight_hh[size_t(row) * H + i];
                    bool apart = s.cell == "gru" && g == 2;
                    float* at = values(bias) + size_t(c) * biases() * H;
                    at[g * H + h] = cell.bias_ih[row] + (apart ? 0.0f : cell.bias_hh[row]);
                    if (apart) at[3 * H + h] = cell.bias_hh[row];
                }
        }
        auto direction = D == 2 ? rnn_direction::bidirectional_concat : rnn_direction::unidirectional_left2right;
        md source = sequences[k].get_desc(), target = sequences[k + 1].get_desc(), none;
        md any_layer = typed({L, D, I, G, H}, of_weights, tag::any);
        md any_iter = typed({L, D, H, G, H}, of_weights, tag::any);
        md d_layer = plain({L, D, I, G, H}, tag::any), d_iter = plain({L, D, H, G, H}, tag::any);
        md b = bias.get_desc(), all = typed({L, D, s.batch, H}, of_data, tag::ldnc);
        md all_c = plain({L, D, s.batch, H}, tag::ldnc);
        primitive_attr attr;
        if (precision == "int8") {
            Floats scales(size_t(G) * H);
            for (size_t row = 0; row < scales.size(); row++) {
                float largest = 1e-30f;
                for (memory* m : {&layer, &iter}) {
                    size_t count = m->get_desc().get_size() / sizeof(float);
                    for (size_t k = row; k < count; k += scales.size())
                        largest = std::max(largest, std::fabs(values(*m)[k]));
                }
                scales[row] = 127 / largest;
            }
            attr.set_rnn_data_qparams(quantities.scale, quantities.shift);
            attr.set_rnn_weights_qparams((1 << 3) + (1 << 4), scales);
        }
        // States before, in training too: without one, oneDNN 2.6 gives wrong gradients of the recurrent weights where
        // it sums them over all steps at once (found by the comparison of results). States after only for steps.
        md state = step || training ? all : none, after = step ? all : none;
        md state_c = step || training ? all_c : none, after_c = step ? all_c : none;
        // Gradients are f32.
        md d_source = training ? gradients[k].get_desc() : none, d_target = training ? gradients[k + 1].get_desc() : none;
        md d_state = training ? all_c : none;

        auto finish = [&](const auto& pd) {
            implementation = pd.impl_info_str();
            p.forward_arguments = {{DNNL_ARG_SRC_LAYER, sequences[k]},
                                   {DNNL_ARG_WEIGHTS_LAYER, reordered(layer, pd.weights_layer_desc(), attr)},
                                   {DNNL_ARG_WEIGHTS_ITER, reordered(iter, pd.weights_iter_desc(), attr)},
                                   {DNNL_ARG_BIAS, bias},
                                   {DNNL_ARG_DST_LAYER, sequences[k + 1]}};
            if (pd.workspace_desc().get_size()) p.forward_arguments[DNNL_ARG_WORKSPACE] = zeros(pd.workspace_desc());
            if (training) {
                p.forward_arguments[DNNL_ARG_SRC_ITER] = zeros(state);
                if (s.cell == "lstm") p.forward_arguments[DNNL_ARG_SRC_ITER_C] = zeros(state_c);
            }
            if (step) {
                // In place, as oneDNN allows: the state after is the state before of the next step.
                memory h = zeros(state);
                states.push_back(h);
                p.forward_arguments[DNNL_ARG_SRC_ITER] = h, p.forward_arguments[DNNL_ARG_DST_ITER] = h;
                if (s.cell == "lstm") {
                    memory c = zeros(state_c);
                    states.push_back(c);
                    p.forward_arguments[DNNL_ARG_SRC_ITER_C] = c, p.forward_arguments[DNNL_ARG_DST_ITER_C] = c;
                }
            }
        };
        auto finish_backward = [&](const auto& pd) {
            implementation += std::string(" / ") + pd.impl_info_str();
            p.d_layer = zeros(pd.diff_weights_layer_desc()), p.d_iter = zeros(pd.diff_weights_iter_desc());
            p.d_bias = zeros(pd.diff_bias_desc());
            p.backward_arguments = p.forward_arguments;
            p.backward_arguments[DNNL_ARG_WEIGHTS_LAYER] = reordered(layer, pd.weights_layer_desc());
            p.backward_arguments[DNNL_ARG_WEIGHTS_ITER] = reordered(iter, pd.weights_iter_desc());
            p.backward_arguments[DNNL_ARG_DIFF_DST_LAYER] = gradients[k + 1];
            p.backward_arguments[DNNL_ARG_DIFF_SRC_LAYER] = gradients[k];
            p.backward_arguments[DNNL_ARG_DIFF_WEIGHTS_LAYER] = p.d_layer;
            p.backward_arguments[DNNL_ARG_DIFF_WEIGHTS_ITER] = p.d_iter;
            p.backward_arguments[DNNL_ARG_DIFF_BIAS] = p.d_bias;
            p.backward_arguments[DNNL_ARG_DIFF_SRC_ITER] = zeros(d_state);
            if (s.cell == "lstm") p.backward_arguments[DNNL_ARG_DIFF_SRC_ITER_C] = zeros(d_state);
        };
        auto back = prop_kind::backward;
        auto three = [&](auto forward, auto backward) {
            using F = decltype(forward);
            using B = decltype(backward);
            auto pd = forward_desc<F>(attr, prop, direction, source, state, any_layer, any_iter, b, target, after);
            p.forward = F(pd);
            finish(pd);
            if (!training) return;
            auto bd = backward_desc<B>(pd, back, direction, source, state, any_layer, any_iter, b, target, none, d_source,
                                       d_state, d_layer, d_iter, b, d_target, none);
            p.backward = B(bd);
            finish_backward(bd);
        };
        if (s.cell == "lstm") {
            auto pd = forward_desc<lstm_forward>(attr, prop, direction, source, state, state_c, any_layer, any_iter, b,
                                                 target, after, after_c);
            p.forward = lstm_forward(pd);
            finish(pd);
            if (!training) return;
            auto bd = backward_desc<lstm_backward>(pd, back, direction, source, state, state_c, any_layer, any_iter, b,
                                                   target, none, none, d_source, d_state, d_state, d_layer, d_iter, b,
                                                   d_target, none, none);
            p.backward = lstm_backward(bd);
            finish_backward(bd);
        } else if (s.cell == "gru") {
            three(lbr_gru_forward(), lbr_gru_backward());
        } else if (s.cell == "gru_before") {
            three(gru_forward(), gru_backward());
        } else {
            auto f = s.cell == "rnn_tanh" ? algorithm::eltwise_tanh : algorithm::eltwise_relu;
            auto pd = forward_desc<vanilla_rnn_forward>(attr, prop, f, direction, source, state, any_layer, any_iter,
                                                        b, target, after);
            p.forward = vanilla_rnn_forward(pd);
            finish(pd);
            if (!training) return;
            auto bd = backward_desc<vanilla_rnn_backward>(pd, back, f, direction, source, state, any_layer, any_iter, b,
                                                          target, none, d_source, d_state, d_layer, d_iter, b,
                                                          d_target, none);
            p.backward = vanilla_rnn_backward(bd);
            finish_backward(bd);
        }
    }

    void run() {
        for (Part& p : parts) p.forward.execute(queue(), p.forward_arguments);
        if (training)
            for (size_t k = parts.size(); k-- > 0;) {
                // oneDNN adds to the gradients of weights and biases.
                for (const memory* m : {&parts[k].d_layer, &parts[k].d_iter, &parts[k].d_bias})
                    std::memset(m->get_data_handle(), 0, m->get_desc().get_size());
                parts[k].backward.execute(queue(), parts[k].backward_arguments);
            }
        queue().wait();
    }

    Floats results() {
        const memory& y = sequences.back();
        size_t width = size_t(s.batch) * s.hidden * s.directions;
        Floats out;
        auto append = [&](const float* from, size_t count) { out.insert(out.end(), from, from + count); };
        if (step) {
            for (memory& m : states) quantities.clear(m);
            for (int t = 0; t < s.steps; t++) {
                quantities.to(sequences[0], &inputs[size_t(t) * s.batch * s.input]);
                run();
                append(quantities.from(y).data(), width);
            }
            quantities.to(sequences[0], inputs.data());
            return out;
        }
        run();
        append(quantities.from(y).data(), width * s.steps);
        if (!training) return out;
        append(values(gradients[0]), inputs.size());
        for (Part& p : parts) {
            memory layer = reordered(p.d_layer, p.weights_layer), iter = reordered(p.d_iter, p.weights_iter);
            int I = s.layer_input(p.first), H = s.hidden, G = s.gates();
            for (int c = 0; c < p.layers * s.directions; c++) {
                // Back to rows of weights; the order of gates is its own inverse.
                auto rows = [&](const memory& m, int width) {
                    for (int g = 0; g < G; g++)
                        for (int h = 0; h < H; h++)
                            for (int i = 0; i < width; i++)
                                out.push_back(values(m)[((size_t(c) * width + i) * G + order()[g]) * H + h]);
                };
                rows(layer, I);
                rows(iter, H);
                for (int half = 0; half < 2; half++)
                    for (int g = 0; g < G; g++) {
                        int from = half == 1 && s.cell == "gru" && g == 2 ? 3 : order()[g];
                        append(values(p.d_bias) + (size_t(c) * biases() + from) * H, H);
                    }
            }
        }
        return out;
    }
};

}  // namespace

/// Keeps to as many cores as SYCL's CPU device is to have. DPCPP_CPU_NUM_CUS alone does not: the calling thread
/// works beside the device's own, and "one thread" took two cores.
static void keep_to_cores() {
#ifdef __linux__
    const char* cores = std::getenv("DPCPP_CPU_NUM_CUS");
    cpu_set_t all, some;
    if (!cores || sched_getaffinity(0, sizeof all, &all)) return;
    CPU_ZERO(&some);
    for (int cpu = 0, left = std::atoi(cores); cpu < CPU_SETSIZE && left > 0; ++cpu)
        if (CPU_ISSET(cpu, &all)) CPU_SET(cpu, &some), --left;
    sched_setaffinity(0, sizeof some, &some);
#endif
}

int main() {
    keep_to_cores();
    auto prepare = [](const Shape& s, const std::string& mode, const float* x, const std::vector<peer::Cell>& cells) {
        if (mode == "step" && s.directions == 2) throw Skip("a stream has no end to start from");
        if (precision == "int8" && mode == "train") throw Skip("int8 is for inference");
        if (precision == "int8" && s.cell != "lstm" && s.cell != "gru_before") throw Skip("no int8 for this cell");
        std::vector<Variant> variants;
        bool can_fuse = s.layers > 1 && s.directions == 1 && s.input == s.hidden;
        for (bool training_descriptor : {false, true})
            for (bool fused : {false, true}) {
                if ((fused && !can_fuse) || (mode == "train" && training_descriptor)) continue;
                if (precision == "int8" && training_descriptor) continue;
                auto network = std::make_shared<Network>(s, mode, training_descriptor, fused, x, cells);
                std::string label = network->implementation;
                if (s.layers > 1) label += fused ? ", all layers in one" : ", layer by layer";
                variants.push_back({label, [network] { network->run(); }, [network] { return network->results(); }});
            }
        return variants;
    };
    const version_t* v = dnnl_version();
    std::ostringstream version;
    version << v->major << '.' << v->minor << '.' << v->patch;
    peer::serve("onednn", version.str(),
                "C++, " + precision + ", weights in the primitive's own layout; inference or training descriptor, the faster",
                prepare);
}
