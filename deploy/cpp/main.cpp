// Classifies images with an ONNX file of an artifact: ONNX Runtime's C++ API and the standard library, nothing else.
//
//     predict MODEL.onnx IMAGES [LABELS]
//
// IMAGES holds the values of one image or more as the model takes them, one after another without a header: float32 in
// the order channel, row, column, preprocessed as the artifact's preprocessing.json says; or uint8 if the model takes
// that. The artifact's own "predict.py --raw IMAGES photo.jpg" writes such a file. LABELS has a class name a line.
//
// Prints five lines an image: its number, rank, class, probability, logit and label, separated by tabs.
// Exit status: 0 done, 2 wrong input (one line on standard error says what).

#include <onnxruntime_cxx_api.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <functional>
#include <iterator>
#include <numeric>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

std::vector<char> read_bytes(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error("can't read " + path);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::vector<std::string> read_lines(const std::string& path) {
  std::ifstream file(path);
  if (!file) throw std::runtime_error("can't read " + path);
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  return lines;
}

std::size_t bytes_of(ONNXTensorElementDataType type) {
  if (type == ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT) return sizeof(float);
  if (type == ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8) return sizeof(std::uint8_t);
  throw std::runtime_error("the model takes neither float32 nor uint8");
}

void print_top(std::size_t image, const float* logits, std::size_t classes, const std::vector<std::string>& labels) {
  if (!std::all_of(logits, logits + classes, [](float logit) { return std::isfinite(logit); }))
    throw std::runtime_error("image " + std::to_string(image) + " has logits that aren't finite");
  std::vector<std::size_t> order(classes);
  std::iota(order.begin(), order.end(), 0);
  const std::size_t shown = std::min<std::size_t>(5, classes);
  std::partial_sort(order.begin(), order.begin() + shown, order.end(),
                    [&](std::size_t a, std::size_t b) { return logits[a] != logits[b] ? logits[a] > logits[b] : a < b; });
  double total = 0;  // the largest logit is subtracted, so that no exponential overflows
  for (std::size_t i = 0; i < classes; ++i) total += std::exp(double(logits[i]) - logits[order[0]]);
  for (std::size_t rank = 0; rank < shown; ++rank) {
    const std::size_t i = order[rank];
    const double probability = std::exp(double(logits[i]) - logits[order[0]]) / total;
    std::printf("%zu\t%zu\t%zu\t%.6f\t%.9g\t%s\n", image, rank + 1, i, probability, logits[i],
                i < labels.size() ? labels[i].c_str() : "");
  }
}

void run(const std::string& model, const std::string& images, const std::string& labels_path) {
  const auto labels = labels_path.empty() ? std::vector<std::string>{} : read_lines(labels_path);
#ifndef _WIN32
  setenv("ORT_DISABLE_TELEMETRY", "1", 0);  // else it keeps an identity in the home folder, and reports home
#endif
  const Ort::Env env(ORT_LOGGING_LEVEL_ERROR, "predict");
  const std::basic_string<ORTCHAR_T> path(model.begin(), model.end());
  Ort::Session session(env, path.c_str(), Ort::SessionOptions{});
  Ort::AllocatorWithDefaultOptions allocator;
  const auto input = session.GetInputNameAllocated(0, allocator), output = session.GetOutputNameAllocated(0, allocator);
  const char *inputs[] = {input.get()}, *outputs[] = {output.get()};

  const auto input_type = session.GetInputTypeInfo(0);
  const auto entry = input_type.GetTensorTypeAndShapeInfo();
  auto shape = entry.GetShape();
  if (shape.size() != 4 || std::any_of(shape.begin() + 1, shape.end(), [](std::int64_t size) { return size < 1; }))
    throw std::runtime_error("the model's input isn't a batch of images of one size");
  shape[0] = std::max<std::int64_t>(shape[0], 1);  // -1: the model takes any batch; here it gets one image at a time
  const auto values = std::accumulate(shape.begin(), shape.end(), std::size_t{1}, std::multiplies<>());
  const std::size_t batch_bytes = values * bytes_of(entry.GetElementType());

  auto data = read_bytes(images);
  if (data.empty() || data.size() % batch_bytes != 0)
    throw std::runtime_error(images + " has " + std::to_string(data.size()) + " bytes; the model takes a multiple of " +
                             std::to_string(batch_bytes));
  const auto memory = Ort::MemoryInfo::CreateCpu(OrtDeviceAllocator, OrtMemTypeCPU);
  for (std::size_t at = 0, image = 0; at < data.size(); at += batch_bytes) {
    const auto batch = Ort::Value::CreateTensor(memory, static_cast<void*>(data.data() + at), batch_bytes, shape.data(),
                                                shape.size(), entry.GetElementType());
    const auto results = session.Run(Ort::RunOptions{}, inputs, &batch, 1, outputs, 1);
    const auto result = results[0].GetTensorTypeAndShapeInfo();
    if (result.GetElementType() != ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT)
      throw std::runtime_error("the model's logits aren't float32");
    const std::size_t classes = result.GetElementCount() / static_cast<std::size_t>(shape[0]);
    for (std::int64_t i = 0; i < shape[0]; ++i)
      print_top(image++, results[0].GetTensorData<float>() + i * classes, classes, labels);
  }
}

}  // namespace

int main(int count, char** words) {
  if (count != 3 && count != 4) {
    std::fprintf(stderr, "usage: predict MODEL.onnx IMAGES [LABELS]\n");
    return 2;
  }
  try {
    run(words[1], words[2], count == 4 ? words[3] : "");
  } catch (const std::exception& error) {
    std::string message = error.what();
    std::replace(message.begin(), message.end(), '\n', ' ');
    std::fprintf(stderr, "predict: %s\n", message.c_str());
    return 2;
  }
  return 0;
}
