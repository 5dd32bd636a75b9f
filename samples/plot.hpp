// Plots with logarithmic axes, as an SVG file.
#pragma once

#include <string>
#include <utility>
#include <vector>

struct series {
  std::string name;
  std::string colour;
  std::vector<std::pair<double, double>> points;  // all greater than zero
};

struct plot {
  std::string title;
  std::string x_label;
  std::vector<series> lines;
};

// One below the other. Throws std::system_error if the file cannot be written.
void write_svg(const std::string& path, const std::vector<plot>& plots);
