"""JUnit XML: a suite per file, a test case per deployment, those that fit included.

A finding that fails the build is a failure; an undecided deployment is skipped, with what would decide it.
"""

from xml.etree import ElementTree as ET

from moesize.gate.results import DeploymentOut, FindingOut, GateResult
from moesize.report.gate.wording import VERDICTS, memory, title


def render(result: GateResult) -> str:
    """The whole document."""
    root = ET.Element("testsuites", name="moesize gate")
    total = failed = skipped = 0
    for file in sorted({one.file for one in result.deployments} | {one.file for one in result.findings if one.fails}):
        suite = ET.SubElement(root, "testsuite", name=file)
        for one in (d for d in result.deployments if d.file == file):
            _case(suite, one, [f for f in result.findings if f.file == file and f.object == one.object])
        for finding in result.findings:
            if finding.file == file and finding.object is None and finding.fails:
                case = ET.SubElement(suite, "testcase", name=finding.rule, classname=file)
                _failure(case, [finding])
        counts = {
            "tests": len(suite),
            "failures": len(suite.findall("testcase/failure")),
            "errors": 0,
            "skipped": len(suite.findall("testcase/skipped")),
        }
        suite.attrib |= {key: str(value) for key, value in counts.items()}
        total, failed, skipped = total + counts["tests"], failed + counts["failures"], skipped + counts["skipped"]
    root.attrib |= {"tests": str(total), "failures": str(failed), "errors": "0", "skipped": str(skipped)}
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _case(suite: ET.Element, one: DeploymentOut, findings: list[FindingOut]) -> None:
    case = ET.SubElement(suite, "testcase", name=f"{one.object} (line {one.line})", classname=one.file)
    failing = [finding for finding in findings if finding.fails]
    undecided = [finding for finding in findings if finding.level == "undecided" and not finding.suppressed]
    if failing:
        _failure(case, failing)
    elif undecided:
        ET.SubElement(case, "skipped", message="; ".join(f"{f.message}: {f.help}" for f in undecided))
    lines = [f"{VERDICTS[one.verdict]}: {title(one)}", memory(one)]
    lines += [f"{f.level} {f.rule}, line {f.line}: {f.message}" for f in findings if not f.fails]
    ET.SubElement(case, "system-out").text = "\n".join(line for line in lines if line)


def _failure(case: ET.Element, findings: list[FindingOut]) -> None:
    message = "; ".join(finding.message for finding in findings)
    failure = ET.SubElement(case, "failure", message=message, type=findings[0].rule)
    failure.text = "\n".join(f"{f.file}:{f.line}: {f.rule}: {f.message}\n  {f.help}" for f in findings)
