"""Pages and charts: sections of data become self-contained HTML with inline SVG."""
