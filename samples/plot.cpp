#include "plot.hpp"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <fstream>
#include <sstream>
#include <system_error>

namespace {

constexpr double width = 640, height = 420, left = 70, right = 130, top = 50, bottom = 50;

// Powers of ten that hold all values, mapped to pixels.
class axis {
 public:
  axis(double from_pixel, double to_pixel) : from_(from_pixel), to_(to_pixel) {}
  void hold(double value) {
    least_ = std::min(least_, std::floor(std::log10(value)));
    most_ = std::max(most_, std::ceil(std::log10(value)));
  }
  double pixel(double value) const {
    return from_ + (to_ - from_) * (std::log10(value) - least_) / std::max(1.0, most_ - least_);
  }
  std::vector<double> decades() const {
    std::vector<double> all;
    for (double power = least_; power <= most_; ++power) all.push_back(std::pow(10, power));
    return all;
  }

 private:
  double from_, to_, least_ = 300, most_ = -300;
};

std::string text(double x, double y, const char* anchor, const std::string& words) {
  std::ostringstream out;
  out << "<text x=\"" << x << "\" y=\"" << y << "\" text-anchor=\"" << anchor << "\">" << words
      << "</text>\n";
  return out.str();
}

std::string line(double x1, double y1, double x2, double y2) {
  std::ostringstream out;
  out << "<line x1=\"" << x1 << "\" y1=\"" << y1 << "\" x2=\"" << x2 << "\" y2=\"" << y2
      << "\" stroke=\"#ddd\"/>\n";
  return out.str();
}

std::string number(double value) {
  std::ostringstream out;
  out << value;
  return out.str();
}

std::string drawn(const plot& p) {
  axis x(left, width - right), y(height - bottom, top);
  for (const series& s : p.lines)
    for (const auto& [at, value] : s.points) {
      x.hold(at);
      y.hold(value);
    }
  std::ostringstream out;
  out << text(width / 2, top / 2, "middle", p.title) << text(width / 2, height - 12, "middle", p.x_label);
  for (const double d : x.decades())
    out << line(x.pixel(d), top, x.pixel(d), height - bottom)
        << text(x.pixel(d), height - bottom + 18, "middle", number(d));
  for (const double d : y.decades())
    out << line(left, y.pixel(d), width - right, y.pixel(d))
        << text(left - 8, y.pixel(d) + 4, "end", number(d));
  for (const series& s : p.lines) {
    if (s.points.empty()) continue;
    out << "<polyline fill=\"none\" stroke-width=\"2\" stroke=\"" << s.colour << "\" points=\"";
    for (const auto& [at, value] : s.points) out << x.pixel(at) << "," << y.pixel(value) << " ";
    out << "\"/>\n"
        << text(x.pixel(s.points.back().first) + 8, y.pixel(s.points.back().second) + 4, "start", s.name);
  }
  return out.str();
}

}  // namespace

void write_svg(const std::string& path, const std::vector<plot>& plots) {
  std::ofstream out(path);
  out << "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"" << width << "\" height=\""
      << height * static_cast<double>(plots.size()) << "\" font-family=\"sans-serif\" font-size=\"12\">\n"
      << "<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n";
  double at = 0;
  for (const plot& p : plots) {
    out << "<g transform=\"translate(0," << at << ")\">\n" << drawn(p) << "</g>\n";
    at += height;
  }
  out << "</svg>\n";
  out.close();
  if (!out) throw std::system_error(errno, std::generic_category(), path);
}
