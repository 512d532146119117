// Sorts a table by the column whose heading is pressed: numbers by value, names by letter, empty cells last.
for (const table of document.querySelectorAll(".board-table")) {
  const headings = [...table.tHead.rows[0].cells];
  for (const heading of headings) {
    const button = heading.querySelector("button");
    if (!button) continue;
    button.addEventListener("click", () => {
      const column = headings.indexOf(heading);
      const numeric = heading.classList.contains("n");
      const current = heading.getAttribute("aria-sort");
      const order = current === "none" ? (numeric ? "descending" : "ascending")
        : current === "descending" ? "ascending" : "descending";
      const sign = order === "descending" ? -1 : 1;
      const value = (row) => row.cells[column].dataset.value;
      const rows = [...table.tBodies[0].rows].sort((a, b) => {
        const [x, y] = [value(a), value(b)];
        if (x === "" || y === "") return (x === "") - (y === "");
        return sign * (numeric ? Number(x) - Number(y) : x.localeCompare(y));
      });
      for (const other of headings) if (other.hasAttribute("aria-sort")) other.setAttribute("aria-sort", "none");
      heading.setAttribute("aria-sort", order);
      table.tBodies[0].append(...rows);
    });
  }
}
