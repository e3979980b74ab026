//! Line charts with a logarithmic x axis, as SVG.

use std::path::Path;

use plotters::prelude::*;

use crate::Error;

/// A chart.
pub struct Plot {
    pub title: &'static str,
    /// The description of the x axis.
    pub x: &'static str,
    /// The description of the y axis.
    pub y: &'static str,
    pub lines: Vec<Line>,
}

/// A line of a chart.
pub struct Line {
    pub name: &'static str,
    pub points: Vec<(f64, f64)>,
}

impl Plot {
    /// Writes the chart to a file.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn draw(&self, file: &Path) -> Result<(), Error> {
        let points = || self.lines.iter().flat_map(|line| &line.points);
        let max = |of: fn(&(f64, f64)) -> f64| points().map(of).fold(1.0, f64::max);
        let area = SVGBackend::new(file, (640, 360)).into_drawing_area();
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&area)
            .caption(self.title, ("sans-serif", 18))
            .margin(12)
            .x_label_area_size(40)
            .y_label_area_size(60)
            .build_cartesian_2d((1.0..max(|point| point.0)).log_scale(), 0.0..max(|point| point.1) * 1.1)?;
        chart.configure_mesh().light_line_style(TRANSPARENT).x_desc(self.x).y_desc(self.y).draw()?;
        for (line, colour) in self.lines.iter().zip([&RED, &BLUE]) {
            chart
                .draw_series(LineSeries::new(line.points.clone(), colour).point_size(3))?
                .label(line.name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], colour));
        }
        chart.configure_series_labels().background_style(WHITE).border_style(BLACK).draw()?;
        area.present()?;
        Ok(())
    }
}
