// RTNeural: layers whose sizes are fixed at compile time, one step of one row at a time. Only the sizes below exist.
#include "protocol.hpp"

#include <RTNeural/RTNeural.h>
#include <memory>

using peer::Floats, peer::Shape, peer::Skip, peer::Variant;

namespace {

// A layer as (in, G * H) kernels: `order` gives our gate of each of RTNeural's (Keras's: i, f, g, o and z, r, n).
std::vector<std::vector<float>> kernel(const float* weight, int rows_of_ours, int width, const std::vector<int>& order) {
    int hidden = rows_of_ours / int(order.size());
    std::vector<std::vector<float>> out(width, std::vector<float>(rows_of_ours));
    for (size_t g = 0; g < order.size(); g++)
        for (int h = 0; h < hidden; h++)
            for (int i = 0; i < width; i++)
                out[i][g * hidden + h] = weight[size_t(order[g] * hidden + h) * width + i];
    return out;
}

std::vector<float> bias(const float* values, int hidden, const std::vector<int>& order) {
    std::vector<float> out;
    for (int g : order) out.insert(out.end(), values + g * hidden, values + (g + 1) * hidden);
    return out;
}

template <int I, int H>
void load(RTNeural::LSTMLayerT<float, I, H>& layer, const peer::Cell& c) {
    std::vector<int> order{0, 1, 2, 3};
    layer.setWVals(kernel(c.weight_ih, 4 * H, I, order));
    layer.setUVals(kernel(c.weight_hh, 4 * H, H, order));
    std::vector<float> sum = bias(c.bias_ih, H, order), other = bias(c.bias_hh, H, order);
    for (size_t k = 0; k < sum.size(); k++) sum[k] += other[k];
    layer.setBVals(sum);
}

template <int I, int H>
void load(RTNeural::GRULayerT<float, I, H>& layer, const peer::Cell& c) {
    std::vector<int> order{1, 0, 2};
    layer.setWVals(kernel(c.weight_ih, 3 * H, I, order));
    layer.setUVals(kernel(c.weight_hh, 3 * H, H, order));
    layer.setBVals({bias(c.bias_ih, H, order), bias(c.bias_hh, H, order)});
}

template <class Layer, int I, int H>
Variant variant(const Shape& s, const std::string& mode, const float* x, const peer::Cell& cell) {
    using Model = RTNeural::ModelT<float, I, H, Layer>;
    auto model = std::make_shared<Model>();
    load(model->template get<0>(), cell);
    model->reset();
    int steps = mode == "step" ? 1 : s.steps;
    auto y = std::make_shared<Floats>(size_t(s.steps) * H);
    auto run = [=](int count) {
        for (int t = 0; t < count; t++) {
            alignas(64) float frame[I];
            std::copy_n(x + size_t(t) * I, I, frame);
            model->forward(frame);
            std::copy_n(model->getOutputs(), H, y->data() + size_t(t) * H);
        }
    };
    auto call = [=] {
        if (mode == "fwd") model->reset();
        run(steps);
    };
    auto results = [=] {
        model->reset();
        run(s.steps);
        return *y;
    };
    return {"sizes fixed at compile time", call, results};
}

template <int I, int H>
bool add(const Shape& s, const std::string& mode, const float* x, const peer::Cell& c, std::vector<Variant>& out) {
    if (s.input != I || s.hidden != H) return false;
    if (s.cell == "lstm") out.push_back(variant<RTNeural::LSTMLayerT<float, I, H>, I, H>(s, mode, x, c));
    if (s.cell == "gru") out.push_back(variant<RTNeural::GRULayerT<float, I, H>, I, H>(s, mode, x, c));
    return !out.empty();
}

}  // namespace

int main() {
    auto prepare = [](const Shape& s, const std::string& mode, const float* x, const std::vector<peer::Cell>& cells) {
        if (mode == "train") throw Skip("inference only");
        if (s.batch != 1 || s.layers != 1 || s.directions != 1) throw Skip("one row, one layer, one direction");
        std::vector<Variant> out;
        const peer::Cell& c = cells[0];
        bool found = add<1, 16>(s, mode, x, c, out) || add<1, 32>(s, mode, x, c, out) || add<1, 40>(s, mode, x, c, out) ||
                     add<1, 64>(s, mode, x, c, out) || add<1, 128>(s, mode, x, c, out) ||
                     add<64, 64>(s, mode, x, c, out) || add<128, 128>(s, mode, x, c, out) ||
                     add<256, 256>(s, mode, x, c, out);
        if (!found) throw Skip("not among the cells and sizes that were compiled");
        return out;
    };
    peer::serve("rtneural", "source", "Eigen, sizes fixed at compile time, -O3 -march=native", prepare);
}
