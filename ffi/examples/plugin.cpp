// What a plug-in does around a model, without a framework: a stereo callback of 64 frames on one thread, and
// another thread that loads a second model while the sound goes on. The callback takes the new stream over
// between two blocks, by one atomic exchange, and fades it in; the old one goes back and is freed by the
// other thread. The callback allocates nothing and locks nothing.
//
//   plugin FIRST.json SECOND.json
#include "fused_rnn.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <thread>

namespace {

constexpr std::size_t kFrames = 64;
constexpr std::size_t kChannels = 2;
constexpr double kSampleRate = 96000.0;

std::vector<std::uint8_t> read_file(const char *path) {
    std::ifstream file(path, std::ios::binary);
    if (!file) throw std::runtime_error(std::string("cannot read ") + path);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

// A model of one input and one output, once for each channel.
std::unique_ptr<fused_rnn::Stream> prepare(const char *path) {
    const auto model = fused_rnn::Model::load(read_file(path));
    if (model.inputs() != 1 || model.outputs() != 1) throw std::runtime_error("expected one channel");
    auto stream = std::make_unique<fused_rnn::Stream>(model, kChannels, model.ratio_for(kSampleRate));
    stream->settle(static_cast<std::size_t>(kSampleRate / 2));
    return stream;
}

class Plugin {
public:
    explicit Plugin(std::unique_ptr<fused_rnn::Stream> stream) : current_(stream.release()) {}
    Plugin(const Plugin &) = delete;
    Plugin &operator=(const Plugin &) = delete;
    ~Plugin() {
        delete current_;
        delete fading_;
        delete next_.load();
        delete done_.load();
    }

    // On the audio thread, in place: 64 frames of two channels.
    void process(float *const *channels) noexcept {
        if (fading_ == nullptr) {
            if (auto *next = next_.exchange(nullptr, std::memory_order_acquire)) {
                fading_ = current_;
                current_ = next;
            }
        }
        std::array<std::array<float, kFrames>, kChannels> old{};
        std::array<float *, kChannels> of_old{old[0].data(), old[1].data()};
        if (fading_ != nullptr) fading_->process_planar(channels, of_old.data(), kFrames);
        if (!current_->process_planar(channels, channels, kFrames)) {
            for (std::size_t channel = 0; channel < kChannels; channel++)
                std::fill_n(channels[channel], kFrames, 0.0f);
        }
        if (fading_ == nullptr) return;
        for (std::size_t channel = 0; channel < kChannels; channel++) {
            for (std::size_t frame = 0; frame < kFrames; frame++) {
                const float part = static_cast<float>(frame + 1) / kFrames;
                float &sample = channels[channel][frame];
                sample = part * sample + (1.0f - part) * old[channel][frame];
            }
        }
        // The other thread frees it; there is room, as it takes the last one before it sends another.
        done_.store(fading_, std::memory_order_release);
        fading_ = nullptr;
    }

    // On another thread. False while the stream before has not been taken over.
    bool swap(std::unique_ptr<fused_rnn::Stream> &stream) {
        collect();
        fused_rnn::Stream *expected = nullptr;
        if (waiting_) return false;
        if (!next_.compare_exchange_strong(expected, stream.get(), std::memory_order_release)) return false;
        stream.release();
        waiting_ = true;
        return true;
    }

    // On the same thread, now and then: frees what the audio thread is done with.
    bool collect() {
        std::unique_ptr<fused_rnn::Stream> done(done_.exchange(nullptr, std::memory_order_acquire));
        if (done) waiting_ = false;
        return done != nullptr;
    }

private:
    fused_rnn::Stream *current_;
    fused_rnn::Stream *fading_ = nullptr;
    std::atomic<fused_rnn::Stream *> next_{nullptr};
    std::atomic<fused_rnn::Stream *> done_{nullptr};
    bool waiting_ = false;
};

} // namespace

int main(int argc, char **argv) {
    if (argc != 3) {
        std::fprintf(stderr, "usage: plugin FIRST.json SECOND.json\n");
        return 2;
    }
    try {
        Plugin plugin(prepare(argv[1]));
        std::atomic<bool> over{false};
        double loudest = 0.0;
        std::thread audio([&] {
            std::array<std::array<float, kFrames>, kChannels> buffer;
            std::array<float *, kChannels> channels{buffer[0].data(), buffer[1].data()};
            for (std::size_t block = 0; !over.load() || block < 200; block++) {
                for (std::size_t frame = 0; frame < kFrames; frame++) {
                    const double t = static_cast<double>(block * kFrames + frame) / kSampleRate;
                    buffer[0][frame] = static_cast<float>(0.5 * std::sin(2 * 3.14159265 * 220 * t));
                    buffer[1][frame] = static_cast<float>(0.5 * std::sin(2 * 3.14159265 * 330 * t));
                }
                plugin.process(channels.data());
                for (const auto &channel : buffer)
                    for (const float sample : channel)
                        loudest = std::max(loudest, std::abs(static_cast<double>(sample)));
            }
        });
        int swaps = 0;
        for (int model = 0; model < 10; model++) {
            auto stream = prepare(argv[model % 2 == 0 ? 2 : 1]);
            while (!plugin.swap(stream)) std::this_thread::sleep_for(std::chrono::milliseconds(1));
            while (!plugin.collect()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
            swaps++;
        }
        over = true;
        audio.join();
        std::printf("%d models swapped, loudest sample %.3f\n", swaps, loudest);
        return std::isfinite(loudest) && loudest > 0.0 ? 0 : 1;
    } catch (const std::exception &error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
}
