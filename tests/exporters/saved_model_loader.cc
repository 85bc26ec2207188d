// Loads a SavedModel with LoadSavedModel, the loader TF Serving itself uses, and classifies one
// encoded image. Prints "signature NAME METHOD" for each signature, then "probability P" for each
// class in order. Arguments: the version folder and an image file.

#include <cstdio>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "tensorflow/cc/saved_model/loader.h"
#include "tensorflow/core/framework/tensor.h"
#include "tensorflow/core/protobuf/meta_graph.pb.h"
#include "tensorflow/core/public/session.h"
#include "tensorflow/core/public/session_options.h"

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: saved_model_loader VERSION_FOLDER IMAGE\n");
    return 2;
  }
  tensorflow::SavedModelBundle bundle;
  const auto loaded = tensorflow::LoadSavedModel(tensorflow::SessionOptions(),
                                                 tensorflow::RunOptions(), argv[1], {"serve"},
                                                 &bundle);
  if (!loaded.ok()) {
    std::fprintf(stderr, "load: %s\n", loaded.ToString().c_str());
    return 1;
  }
  for (const auto& [name, signature] : bundle.GetSignatures()) {
    std::printf("signature %s %s\n", name.c_str(), signature.method_name().c_str());
  }
  std::ifstream stream(argv[2], std::ios::binary);
  const std::string image((std::istreambuf_iterator<char>(stream)),
                          std::istreambuf_iterator<char>());
  const auto& signature = bundle.GetSignatures().at("serving_default");
  tensorflow::Tensor input(tensorflow::DT_STRING, tensorflow::TensorShape({1}));
  input.flat<tensorflow::tstring>()(0) = image;
  std::vector<tensorflow::Tensor> outputs;
  const auto ran = bundle.GetSession()->Run({{signature.inputs().at("image_bytes").name(), input}},
                                            {signature.outputs().at("probabilities").name()}, {},
                                            &outputs);
  if (!ran.ok()) {
    std::fprintf(stderr, "run: %s\n", ran.ToString().c_str());
    return 1;
  }
  const auto probabilities = outputs[0].flat<float>();
  for (int i = 0; i < probabilities.size(); ++i) std::printf("probability %.9g\n", probabilities(i));
  return 0;
}
